"""Moving house: a library of one store is copied into another one, such as from a folder to a server, and back.

Nothing is encoded and no file of people is read: rows go as they are, under the ids that they have, so that answers can
be compared.  It goes on after whatever ended it, and what is copied is of one moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mmsearch.cluster import verification
from mmsearch.cluster.verification import Verified
from mmsearch.errors import LibraryError, ModelError, TransferError
from mmsearch.library.library import Library
from mmsearch.media.filesystem import atomic_write, open_regular
from mmsearch.search import querybank
from mmsearch.store.moving import TABLES, CopyState, RowSource, RowTarget
from mmsearch.store.open import CALIBRATIONS, SEARCHES
from mmsearch.types import Note, Progress

log = logging.getLogger(__name__)

AT_ONCE = 1_000  # rows of a transaction
BULKY = {"regions": 250, "words": 500}  # of rows that are large, or take long to make
_TRANSFER = "cannot-move"

Report = Callable[[Progress], None]


@dataclass(frozen=True)
class MoveReport:
    """What copying a library gave."""

    source: str  # where it is
    target: str
    rows: int  # of all tables, that the target has of it
    copied: int  # of these, by this run
    photos: int  # files that can be found there
    files: tuple[str, ...]  # what lay beside the library and went along, by name
    verified: Verified
    notes: tuple[Note, ...] = ()


def move(source: Library, target: Library, *, queries: int = 200, progress: Report | None = None) -> MoveReport:
    """Copy a library into another one, which is empty or has an unfinished copy of it; then compare the two.

    All goes along: models, files in whatever state, contents, items, vectors bit for bit, region tokens, texts, tags,
    and what lies beside the library on this machine: saved searches, calibrations, query banks.  Ids stay; identity and
    generation are the target's own.  A block is a transaction: what ends it in the middle, Ctrl-C too, costs one block,
    and the next call goes on.  Where the source was written to between two calls, the copy begins anew; while it is
    copied others may write to it, and the copy is of the moment at which the call began.

    At the end both answer ``queries`` queries, see ``verification.verify``; 0 leaves that out.  Where they differ,
    the differences are in the report's ``verified``, and the copy stays.  Raises TransferError for a target that holds
    something else, or was written to; LibraryError, LibraryBusyError.
    """
    with target.lock(), source.store.copied_from() as rows:
        state = _begun(source, target, rows)
        told = _Told(sum(map(rows.count, TABLES)), state.rows, source.store.place, progress)
        files: tuple[str, ...] = ()
        before = state.rows
        if not state.finished:
            state = _copy(rows, target, state, told)
            files = tuple(_beside(source.folder, target.folder))
            _finish(rows, target, state)
        notes = list(_indexed(target, progress))
        verified = verification.verify(source, target, rows, queries, progress)
        photos = target.store.counts().photos
    places = (source.store.place, target.store.place)
    return MoveReport(*places, state.rows, state.rows - before, photos, files, verified, (*notes, *verified.notes))


@dataclass
class _Told:
    """Says how far it is."""

    total: int
    done: int
    place: str
    progress: Report | None

    def more(self, rows: int) -> None:
        self.done += rows
        if self.progress is not None:
            self.progress(Progress(self.done, max(self.done, self.total), self.place, "rows"))


def _begun(source: Library, target: Library, rows: RowSource) -> CopyState:
    """How far the copy is; one is begun where there is none.  Raises TransferError for a target that is in use."""
    identity, stamp = source.store.identity(), rows.stamp()
    if identity == target.store.identity():
        raise TransferError(f"{source.store.place} and {target.store.place} are the same library", code=_TRANSFER)
    unfinished = rows.state()
    if unfinished is not None and not unfinished.finished:
        raise TransferError(
            f"the library {source.store.place} is an unfinished copy itself; finish it first", code=_TRANSFER
        )
    with target.store.copied_to() as changes:
        state = changes.state()
        _check(state, changes, identity, stamp, source, target)
        if state is None or state.stamp != stamp:
            if state is not None:
                log.info("%s has been written to since the copy was begun: it begins anew", source.store.place)
                changes.clear()
            state = CopyState(identity, stamp)
            changes.note(state)
    return state


def _check(
    state: CopyState | None, changes: RowTarget, identity: str, stamp: str, source: Library, target: Library
) -> None:
    """Raises TransferError where the copy cannot be begun, or go on."""
    place, other = target.store.place, "name one that is new or empty"
    if state is None:
        if not changes.is_empty():
            raise TransferError(f"the library {place} holds something else already; {other}", code="target-in-use")
        return
    if state.source != identity:
        raise TransferError(
            f"the library {place} holds a copy of another library, and not of {source.store.place}; {other}",
            code="target-in-use",
        )
    if state.changes != changes.changes():
        what = "a copy" if state.finished else "an unfinished copy"
        raise TransferError(
            f"the library {place} holds {what} of {source.store.place} and has been written to since; {other}",
            code="target-in-use",
        )
    if state.finished and state.stamp != stamp:
        raise TransferError(
            f"the library {place} holds a copy of {source.store.place}, which has been written to since; {other}",
            code="target-in-use",
        )


def _copy(rows: RowSource, target: Library, state: CopyState, told: _Told) -> CopyState:
    """Copies what is not there, a transaction a block."""
    for table in TABLES[TABLES.index(state.table) :]:
        after = state.after if table == state.table else None
        while True:
            found, last = rows.page(table, after, BULKY.get(table, AT_ONCE))
            if last is None:
                break
            after = last
            state = replace(state, table=table, after=after, rows=state.rows + len(found))
            with target.store.copied_to() as changes:
                changes.add(table, found)
                changes.note(state)
            told.more(len(found))
    return state


def _finish(rows: RowSource, target: Library, state: CopyState) -> None:
    with target.store.copied_to() as changes:
        changes.finish(rows.active(), rows.numbers())
        changes.note(replace(state, finished=True))


def _beside(folder: Path, other: Path) -> Iterator[str]:
    """Copies what people made, and what is needed without the encoder, from a library's folder on this machine."""
    wanted = [folder / SEARCHES, *sorted(folder.glob(CALIBRATIONS)), *querybank.bank_files(folder)]
    for file in wanted:
        try:
            with open_regular(file) as opened:
                atomic_write(other / file.name, opened.read())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LibraryError(f"{file} cannot be copied to {other}: {error.strerror or error}") from error
        yield file.name


def _indexed(target: Library, progress: Report | None) -> Iterator[Note]:
    """Has the vectors of the target searched quickly, as an index run does at its end."""
    model = target.store.model()
    if model is None:
        return
    target.vectors.refresh(model, save=True)
    try:
        target.vectors.maintain(model, progress)
    except ModelError as error:
        yield Note(f"what finds the nearest vectors was not tuned: {error}", "not-tuned")
