"""Find your own pictures by what is in them.

    import mmsearch

    with mmsearch.open_library("~/photos.mmsearch") as library:
        library.index("./photos")
        for hit in library.search("a dog on a beach", k=10):
            print(hit.rank, hit.score, hit.path)

Importing this package is light; what is heavy is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsearch.config import Settings
    from mmsearch.duplicates import Group
    from mmsearch.errors import (
        ConfigError,
        DimensionError,
        ImageError,
        LibraryBusyError,
        LibraryError,
        MMSearchError,
        ModelError,
        ModelMismatchError,
        NewerLibraryError,
        NoModelError,
        QueryError,
        QuerySyntaxError,
        SourceError,
        TransferError,
        VocabularyError,
    )
    from mmsearch.exporting import ExportReport
    from mmsearch.importing import ImportReport
    from mmsearch.library import Library, Repaired, Status, open_library
    from mmsearch.looking import Explanation
    from mmsearch.moving import Moved
    from mmsearch.query import (
        AnyOf,
        Between,
        Camera,
        Compare,
        Condition,
        Date,
        Example,
        Format,
        HasPlace,
        HasText,
        Lens,
        Near,
        Query,
        Shaped,
        Tagged,
        Within,
        Words,
    )
    from mmsearch.query_language import parse, parse_conditions, written
    from mmsearch.records import Exif, Hit, IndexReport, Photo, Progress, Skipped
    from mmsearch.rerank.captions import Caption
    from mmsearch.rerank.heat import WordHeat
    from mmsearch.rerank.reranker import Answer
    from mmsearch.store.backup import restore
    from mmsearch.store.checks import Damage
    from mmsearch.store.values import KeptModel
    from mmsearch.tagging import TagReport
    from mmsearch.vocabulary import Vocabulary

_HOMES = {
    "mmsearch.config": ["Settings"],
    "mmsearch.duplicates": ["Group"],
    "mmsearch.errors": [
        "ConfigError",
        "DimensionError",
        "ImageError",
        "LibraryBusyError",
        "LibraryError",
        "MMSearchError",
        "ModelError",
        "ModelMismatchError",
        "NewerLibraryError",
        "NoModelError",
        "QueryError",
        "QuerySyntaxError",
        "SourceError",
        "TransferError",
        "VocabularyError",
    ],
    "mmsearch.exporting": ["ExportReport"],
    "mmsearch.importing": ["ImportReport"],
    "mmsearch.library": ["Library", "Repaired", "Status", "open_library"],
    "mmsearch.looking": ["Explanation"],
    "mmsearch.moving": ["Moved"],
    "mmsearch.query": [
        "AnyOf",
        "Between",
        "Camera",
        "Compare",
        "Condition",
        "Date",
        "Example",
        "Format",
        "HasPlace",
        "HasText",
        "Lens",
        "Near",
        "Query",
        "Shaped",
        "Tagged",
        "Within",
        "Words",
    ],
    "mmsearch.query_language": ["parse", "parse_conditions", "written"],
    "mmsearch.records": ["Exif", "Hit", "IndexReport", "Photo", "Progress", "Skipped"],
    "mmsearch.rerank.captions": ["Caption"],
    "mmsearch.rerank.heat": ["WordHeat"],
    "mmsearch.rerank.reranker": ["Answer"],
    "mmsearch.store.backup": ["restore"],
    "mmsearch.store.checks": ["Damage"],
    "mmsearch.store.values": ["KeptModel"],
    "mmsearch.tagging": ["TagReport"],
    "mmsearch.vocabulary": ["Vocabulary"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AnyOf",
    "Between",
    "Camera",
    "Caption",
    "Compare",
    "Condition",
    "ConfigError",
    "Damage",
    "Date",
    "DimensionError",
    "Example",
    "Exif",
    "Explanation",
    "ExportReport",
    "Format",
    "Group",
    "HasPlace",
    "HasText",
    "Hit",
    "ImageError",
    "ImportReport",
    "IndexReport",
    "KeptModel",
    "Lens",
    "Library",
    "LibraryBusyError",
    "LibraryError",
    "MMSearchError",
    "ModelError",
    "ModelMismatchError",
    "Moved",
    "Near",
    "NewerLibraryError",
    "NoModelError",
    "Photo",
    "Progress",
    "Query",
    "QueryError",
    "QuerySyntaxError",
    "Repaired",
    "Settings",
    "Shaped",
    "Skipped",
    "SourceError",
    "Status",
    "TagReport",
    "Tagged",
    "TransferError",
    "Vocabulary",
    "VocabularyError",
    "Within",
    "WordHeat",
    "Words",
    "__version__",
    "open_library",
    "parse",
    "parse_conditions",
    "restore",
    "written",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'mmsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
