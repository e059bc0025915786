"""The map of a library, kept and written as a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.config import Settings
from mmsearch.language.vocabulary import builtin
from mmsearch.library.models import Models
from mmsearch.manage.map import page
from mmsearch.manage.map.clusters import Method
from mmsearch.manage.map.make import Maker, MapReport
from mmsearch.store.protocol import Store
from mmsearch.types import PathLike, Progress, Vectors

if TYPE_CHECKING:
    from mmsearch.ingest.enrich.tags import Tagger


def make(
    store: Store,
    models: Models,
    settings: Settings,
    file: PathLike | None,
    fresh: bool,
    method: Method | None,
    progress: Callable[[Progress], None] | None,
) -> MapReport:
    """See ``Library.map``."""
    target = None if file is None else page.check(Path(file))
    stored = models.active()

    def tagger() -> Tagger:
        from mmsearch.ingest.enrich import tags

        def encode(texts: Sequence[str]) -> Vectors:
            return models.encoder(stored).encode_texts(texts)

        return tags.Tagger(builtin(), stored.fingerprint, encode, settings.cache)

    made, report = Maker(store, stored, tagger, progress).make(fresh, method)
    if target is not None:
        page.write(target, store, made, os.path.basename(store.place), settings.max_megapixels, progress)
    return report
