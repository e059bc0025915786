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
    from mmsearch.errors import (
        ArgumentError,
        ClusterError,
        ConfigError,
        DimensionError,
        ImageError,
        LibraryBusyError,
        LibraryError,
        MapError,
        MMSearchError,
        ModelError,
        ModelMismatchError,
        NewerLibraryError,
        NoModelError,
        QueryError,
        QuerySyntaxError,
        SourceError,
        TagError,
        TransferError,
        VocabularyError,
    )
    from mmsearch.ingest.enrich.tags import TagReport
    from mmsearch.language.vocabulary import Vocabulary
    from mmsearch.library.facets import Facet, Facets, FacetValue
    from mmsearch.library.imagining import Region, Sketch
    from mmsearch.library.library import Library
    from mmsearch.library.opening import open_library
    from mmsearch.library.repair import Repaired
    from mmsearch.library.status import Status
    from mmsearch.manage.duplicates import Group
    from mmsearch.manage.export import ExportReport
    from mmsearch.manage.import_vectors import ImportReport
    from mmsearch.manage.map.make import MapReport
    from mmsearch.manage.move_aside import Moved
    from mmsearch.media.thumbnail_cache import Thumbnail
    from mmsearch.query.files import parse, parse_conditions
    from mmsearch.query.model import (
        Album,
        AnyOf,
        Between,
        Camera,
        City,
        Clustered,
        Codec,
        Compare,
        Condition,
        Date,
        EveryYear,
        Example,
        Format,
        HasPlace,
        HasText,
        Label,
        Lens,
        Near,
        OfKind,
        Person,
        Picture,
        Query,
        Shaped,
        Tagged,
        Vector,
        Within,
        Words,
    )
    from mmsearch.query.writer import written
    from mmsearch.rerank.captions import Caption
    from mmsearch.rerank.heat import WordHeat
    from mmsearch.rerank.inspect import Explanation
    from mmsearch.rerank.reranker import Answer
    from mmsearch.server import ServerOptions, serve
    from mmsearch.server.async_library import AsyncLibrary
    from mmsearch.store.kept_map import Cluster, KeptMap
    from mmsearch.store.sqlite.backup import restore
    from mmsearch.store.types import Damage, KeptModel, Overview, TagChange
    from mmsearch.types import (
        Annotations,
        Damaged,
        Exif,
        Film,
        Hit,
        IndexReport,
        Moment,
        Note,
        Photo,
        Progress,
        SearchResult,
        Skipped,
    )

_HOMES = {
    "mmsearch.config": ["Settings"],
    "mmsearch.manage.duplicates": ["Group"],
    "mmsearch.errors": [
        "ArgumentError",
        "ClusterError",
        "ConfigError",
        "DimensionError",
        "ImageError",
        "LibraryBusyError",
        "LibraryError",
        "MapError",
        "MMSearchError",
        "ModelError",
        "ModelMismatchError",
        "NewerLibraryError",
        "NoModelError",
        "QueryError",
        "QuerySyntaxError",
        "SourceError",
        "TagError",
        "TransferError",
        "VocabularyError",
    ],
    "mmsearch.manage.export": ["ExportReport"],
    "mmsearch.manage.import_vectors": ["ImportReport"],
    "mmsearch.manage.map.make": ["MapReport"],
    "mmsearch.library.facets": ["Facet", "Facets", "FacetValue"],
    "mmsearch.library.imagining": ["Region", "Sketch"],
    "mmsearch.library.library": ["Library"],
    "mmsearch.library.opening": ["open_library"],
    "mmsearch.library.repair": ["Repaired"],
    "mmsearch.library.status": ["Status"],
    "mmsearch.rerank.inspect": ["Explanation"],
    "mmsearch.manage.move_aside": ["Moved"],
    "mmsearch.media.thumbnail_cache": ["Thumbnail"],
    "mmsearch.query.model": [
        "Album",
        "AnyOf",
        "Between",
        "Camera",
        "City",
        "Clustered",
        "Codec",
        "Compare",
        "Condition",
        "Date",
        "EveryYear",
        "Example",
        "Format",
        "HasPlace",
        "HasText",
        "Label",
        "Lens",
        "Near",
        "OfKind",
        "Person",
        "Picture",
        "Query",
        "Shaped",
        "Tagged",
        "Vector",
        "Within",
        "Words",
    ],
    "mmsearch.query.files": ["parse", "parse_conditions"],
    "mmsearch.query.writer": ["written"],
    "mmsearch.types": [
        "Annotations",
        "Damaged",
        "Exif",
        "Film",
        "Hit",
        "IndexReport",
        "Moment",
        "Note",
        "Photo",
        "Progress",
        "SearchResult",
        "Skipped",
    ],
    "mmsearch.rerank.captions": ["Caption"],
    "mmsearch.rerank.heat": ["WordHeat"],
    "mmsearch.rerank.reranker": ["Answer"],
    "mmsearch.server": ["ServerOptions", "serve"],
    "mmsearch.server.async_library": ["AsyncLibrary"],
    "mmsearch.store.kept_map": ["Cluster", "KeptMap"],
    "mmsearch.store.sqlite.backup": ["restore"],
    "mmsearch.store.types": ["Damage", "KeptModel", "Overview", "TagChange"],
    "mmsearch.ingest.enrich.tags": ["TagReport"],
    "mmsearch.language.vocabulary": ["Vocabulary"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"

__all__ = [
    "Album",
    "Annotations",
    "Answer",
    "AnyOf",
    "ArgumentError",
    "AsyncLibrary",
    "Between",
    "Camera",
    "Caption",
    "City",
    "Cluster",
    "ClusterError",
    "Clustered",
    "Codec",
    "Compare",
    "Condition",
    "ConfigError",
    "Damage",
    "Damaged",
    "Date",
    "DimensionError",
    "EveryYear",
    "Example",
    "Exif",
    "Explanation",
    "ExportReport",
    "Facet",
    "FacetValue",
    "Facets",
    "Film",
    "Format",
    "Group",
    "HasPlace",
    "HasText",
    "Hit",
    "ImageError",
    "ImportReport",
    "IndexReport",
    "KeptMap",
    "KeptModel",
    "Label",
    "Lens",
    "Library",
    "LibraryBusyError",
    "LibraryError",
    "MMSearchError",
    "MapError",
    "MapReport",
    "ModelError",
    "ModelMismatchError",
    "Moment",
    "Moved",
    "Near",
    "NewerLibraryError",
    "NoModelError",
    "Note",
    "OfKind",
    "Overview",
    "Person",
    "Photo",
    "Picture",
    "Progress",
    "Query",
    "QueryError",
    "QuerySyntaxError",
    "Region",
    "Repaired",
    "SearchResult",
    "ServerOptions",
    "Settings",
    "Shaped",
    "Sketch",
    "Skipped",
    "SourceError",
    "Status",
    "TagChange",
    "TagError",
    "TagReport",
    "Tagged",
    "Thumbnail",
    "TransferError",
    "Vector",
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
    "serve",
    "written",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'mmsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
