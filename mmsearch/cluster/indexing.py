"""An index run whose pictures are read and encoded by the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmsearch.cluster.encoding import OnRay
from mmsearch.cluster.handing_out import Workers
from mmsearch.cluster.session import connected
from mmsearch.encoders.factory import LoadOptions
from mmsearch.errors import Note
from mmsearch.library.indexing import Ingest
from mmsearch.types import IndexReport, PathLike, Paths, Progress

if TYPE_CHECKING:
    from mmsearch.library.library import Library


def index(
    library: Library,
    sources: Paths = (),
    *,
    urls: PathLike | Sequence[str] = (),
    address: str | None = None,
    workers: Workers = Workers(),  # noqa: B008  # it is frozen
    exclude: str | Sequence[str] | None = None,
    wait: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> IndexReport:
    """``Library.index`` with the machines of a Ray cluster; the library's rows are written by this process alone.

    ``address`` is that of the cluster, such as ``ray://head:10001``; without one Ray is started on this machine and
    stopped again.  ``sources`` must lead to the same files on each machine; ``urls`` is as of ``Library.index``.  The
    report is that of ``Library.index``, with a note about how much each machine did.  Raises ClusterError, and what
    ``Library.index`` raises.

    >>> from mmsearch.cluster.indexing import index
    >>> index(mmsearch.open_library("postgresql://me@db/photos"), "/nfs/photos", address="ray://head:10001")
    """
    produce = OnRay(LoadOptions.of(library.settings), workers)
    ingest = Ingest(library.store, library.vectors, library.models, library.settings, progress, produce)
    request = ingest.request(sources, urls, exclude)  # what is wrong with it is said before Ray is asked
    with connected(address), library.lock(wait):
        report = ingest.index(request, None)
    if not produce.rates.files:
        return report
    note = Note(produce.rates.line(), "machines", files=dict(produce.rates.files))
    return replace(report, notes=(*report.notes, note))
