"""What a library holds, in figures."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import UnreachableError
from mmsearch.library.models import Models
from mmsearch.store.breaker import Engines, EngineState
from mmsearch.store.limit import limited
from mmsearch.store.types import StoredModel, Summary
from mmsearch.types import Damaged, Skipped

if TYPE_CHECKING:
    from mmsearch.indexes.protocol import VectorIndex
    from mmsearch.store.protocol import Store, VectorSearch

ASKED = 2.0  # seconds in which an engine that is there answers that it is


@dataclass(frozen=True)
class Status:
    """What a library holds."""

    library: str
    photos: int  # that can be found
    regions: int  # of these, that have region tokens
    captions: int  # of these, that have a caption
    failed: int  # that could not be read
    missing: int  # whose file is gone
    model: str | None  # None before the first ``index``
    dim: int | None
    fingerprint: str | None  # of the model
    precision: str | None  # of the model, such as "int8"; None where nothing on this machine tells
    index: int  # vectors in the index
    index_kind: str | None  # "exact", or an approximate kind; None before the first ``index``
    recall: float | None  # share of the 10 nearest that it finds for texts, as was measured when it was built; or 1
    generation: int
    bytes: int  # of the whole folder, and on the server, or in an object store, if it is on one
    blobs: str | None  # address of the object store or folder that has region tokens; None where the database has them
    roots: tuple[str, ...]
    exclude: dict[str, tuple[str, ...]]  # by root, what index runs leave out of it
    failures: tuple[Skipped, ...]
    damaged: tuple[Damaged, ...]  # of the photos that can be found
    summary: Summary
    engines: tuple[EngineState, ...] = ()  # the servers that it asks, as this process found them; none of a folder


def status(folder: Path, store: Store, vectors: VectorSearch, models: Models, engines: Engines) -> Status:
    """The figures of the library in ``folder``; its index is caught up first, and its engines are asked."""
    with engines.metadata.asked():
        counts, model, summary = store.counts(), store.model(), store.summary()
    index = None if model is None else _index(vectors, model)
    if engines.breakers:
        with contextlib.suppress(UnreachableError), limited(ASKED):
            vectors.ping()
    return Status(
        library=store.place,
        photos=counts.photos,
        regions=max((store.with_regions(one) for one in models.of_tokens(model)), default=0) if model else 0,
        captions=summary.captions,
        failed=counts.failed,
        missing=counts.missing,
        model=model.name if model else None,
        dim=model.dim if model else None,
        fingerprint=model.fingerprint if model else None,
        precision=models.precision_of(model) if model else None,
        index=len(index) if index is not None else 0,
        index_kind=index.kind if index is not None else None,
        recall=None if index is None else index.recall,
        generation=store.generation(),
        bytes=_bytes(folder) + store.stored_bytes(),
        blobs=store.blobs_at,
        roots=tuple(store.roots()),
        exclude=store.exclusions(),
        failures=tuple(store.failures()),
        damaged=tuple(store.damaged()),
        summary=summary,
        engines=engines.states(),
    )


def _index(vectors: VectorSearch, model: StoredModel) -> VectorIndex:
    """The index, or what is known of it where its engine does not answer."""
    try:
        with limited(ASKED):
            return vectors.refresh(model)
    except UnreachableError:
        return vectors.without_engine().index


def _bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process may be writing
            total += file.stat().st_size if file.is_file() else 0
    return total
