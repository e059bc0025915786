"""Tags for the pictures of a library."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mmsearch.ingest.enrich import tags
from mmsearch.ingest.enrich.runner import enrich
from mmsearch.ingest.options import Options
from mmsearch.language.vocabulary import Vocabulary, builtin, read
from mmsearch.library.models import Models
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel
from mmsearch.types import IndexReport, PathLike, Progress, Vectors


def chosen(vocabulary: PathLike | Vocabulary | None) -> Vocabulary:
    """A vocabulary, that of a file, or the one that ships.  Raises VocabularyError."""
    if isinstance(vocabulary, Vocabulary):
        return vocabulary
    return builtin() if vocabulary is None else read(Path(os.path.expanduser(vocabulary)))


def tag(
    store: Store,
    models: Models,
    stored: StoredModel,
    places: Sequence[str],
    vocabulary: Vocabulary,
    threshold: float | None,
    cache: Path,
    progress: Callable[[Progress], None] | None,
) -> tags.TagReport:
    """Compare the pictures of a model with a vocabulary, all or those in or below ``places``.

    The caller has the lock of writers.  ``cache`` is the folder with texts that were encoded before.  Raises
    ModelError, ModelMismatchError.
    """
    begun = time.perf_counter()

    def encode(texts: Sequence[str]) -> Vectors:
        return models.encoder(stored).encode_texts(texts)  # loaded only where texts are new

    threshold = tags.THRESHOLD if threshold is None else threshold
    tagger = tags.Tagger(vocabulary, stored.fingerprint, encode, cache, threshold)
    work = tags.Tags(store, stored, tagger, places)
    done = enrich(work, store, Options(), IndexReport(), progress).enriched[work.name]
    return tags.TagReport(done, store.tag_counts(places), round(time.perf_counter() - begun, 3))
