"""Region tokens of a library in PostgreSQL, in packs of an object store: stored, read, put together and deleted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packed import CARD, KIND, fill, folder_place, model_of, open_packed, tokens
from postgres_server import forget, open_postgres, url_of

from mmsearch.errors import LibraryError
from mmsearch.store.objects import AT_ONCE, GAP, Objects, merged
from mmsearch.store.postgres import pack_care
from mmsearch.store.postgres.store import PostgresStore
from mmsearch.store.types import Tidied


def remove(store: PostgresStore, numbers: range) -> None:
    with store.writing() as writer:
        for number in numbers:
            writer.remove(f"/{number}")
        writer.sweep()


def packs(folder: Path) -> list[Path]:
    return sorted((folder / "blobs").glob("library-*/*.pack"))


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Callable[[], PostgresStore]]:
    """Opens one and the same library, with its packs in a folder."""
    yield lambda: open_packed(tmp_path, folder_place(tmp_path))
    forget(tmp_path)


@pytest.fixture
def store(reopen: Callable[[], PostgresStore]) -> Iterator[PostgresStore]:
    with reopen() as opened:
        yield opened


def test_a_transaction_makes_a_pack_and_the_table_has_no_bytes(store: PostgresStore, tmp_path: Path) -> None:
    own = fill(store, range(5))
    (pack,) = packs(tmp_path)
    assert pack.read_bytes() == b"".join(map(tokens, range(5)))
    assert store.blobs.get(KIND, list(own)) == own
    assert store.with_regions(model_of(store)) == 5
    assert store.pending_regions(model_of(store), CARD, ["/"]) == []
    with store._reading() as connection:
        assert connection.exec_driver_sql("SELECT max(length(data)) FROM regions").scalar() == 0
    assert store.blobs_at == folder_place(tmp_path)
    assert store.stored_bytes() > 100


def test_a_pack_has_a_thousand_blobs_at_most(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsearch.store.postgres.packs.PACK", 4)
    own = fill(store, range(10))
    assert sorted(len(pack.read_bytes()) // 20 for pack in packs(tmp_path)) == [2, 4, 4]
    assert store.blobs.get(KIND, list(own)) == own


def test_the_setting_auto_finds_packs_where_the_library_notes_them(store: PostgresStore, tmp_path: Path) -> None:
    own = fill(store, range(3))
    with open_postgres(tmp_path) as other:
        assert (other.blobs.get(KIND, list(own)), other.blobs_at) == (own, store.blobs_at)
        more = fill(other, range(3, 5))
    assert store.blobs.get(KIND, [*own, *more]) == own | more
    assert len(packs(tmp_path)) == 2


def test_one_that_was_open_before_the_first_pack_reads_packs(tmp_path: Path, store: PostgresStore) -> None:
    with open_postgres(tmp_path) as before:
        assert before.blobs_at is None
        own = fill(store, range(3))
        assert before.blobs.get(KIND, list(own)) == own


def test_another_place_is_refused_and_both_are_named(store: PostgresStore, tmp_path: Path) -> None:
    fill(store, range(2))
    with pytest.raises(LibraryError) as error:
        open_packed(tmp_path, "s3://other/place")
    assert error.value.code == "blobs-elsewhere"
    assert folder_place(tmp_path) in str(error.value)
    assert "s3://other/place" in str(error.value)


def test_what_was_stored_in_the_database_is_read_and_then_put_into_packs(
    reopen: Callable[[], PostgresStore], tmp_path: Path
) -> None:
    with open_postgres(tmp_path) as before:
        own = fill(before, range(4))
    with reopen() as store:
        assert store.blobs.get(KIND, list(own)) == own
        more = fill(store, range(4, 6))
        assert store.blobs.get(KIND, [*own, *more]) == own | more
        assert len(packs(tmp_path)) == 1
        store.settle()
        assert len(packs(tmp_path)) == 2
        with store._reading() as connection:
            assert connection.exec_driver_sql("SELECT max(length(data)) FROM regions").scalar() == 0
        assert store.blobs.get(KIND, [*own, *more]) == own | more


def test_small_packs_are_put_together_and_old_ones_stay_for_a_day(store: PostgresStore, tmp_path: Path) -> None:
    own: dict[int, bytes] = {}
    for number in range(pack_care.FEW):
        own |= fill(store, range(3 * number, 3 * number + 3))
    before = packs(tmp_path)
    store.settle()
    assert set(before) < set(packs(tmp_path))
    assert len(packs(tmp_path)) == len(before) + 1
    assert store.blobs.get(KIND, list(own)) == own
    assert store.tidy_blobs() == Tidied(1, 0, 0, 0, 0)
    assert store.tidy_blobs(age=0) == Tidied(1, 0, 0, len(before), 0)
    (left,) = packs(tmp_path)
    assert len(left.read_bytes()) == 20 * len(own)
    assert store.blobs.get(KIND, list(own)) == own
    assert store.tidy_blobs(age=0) == Tidied(1, 0, 0, 0, 0)


def test_a_reader_that_was_told_the_old_place_is_told_the_new_one(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what the database says and what is read, packs are put together and the old ones deleted."""
    own: dict[int, bytes] = {}
    for number in range(pack_care.FEW):
        own |= fill(store, range(number, number + 1))
    read, calls = Objects.read, 0

    def late(objects: Objects, *given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            store.tidy_blobs(age=0)
        return read(objects, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Objects, "read", late)
    assert store.blobs.get(KIND, list(own)) == own
    assert len(packs(tmp_path)) == 1


def test_a_pack_of_which_most_is_gone_is_written_anew(store: PostgresStore, tmp_path: Path) -> None:
    own = fill(store, range(10))
    remove(store, range(4))
    store.settle()
    assert len(packs(tmp_path)) == 1  # six of ten are there yet
    remove(store, range(4, 7))
    assert store.tidy_blobs(age=0) == Tidied(1, 3, 0, 1, 0)
    (left,) = packs(tmp_path)
    assert left.read_bytes() == b"".join(map(tokens, range(7, 10)))
    kept = dict(list(own.items())[7:])
    assert store.blobs.get(KIND, list(own)) == kept


def test_packs_of_what_was_removed_or_replaced_go(store: PostgresStore, tmp_path: Path) -> None:
    own = fill(store, range(3))
    store.blobs.put(KIND, dict.fromkeys(own, b"newer"))
    assert store.tidy_blobs(age=0) == Tidied(1, 0, 0, 1, 0)
    remove(store, range(3))
    assert store.tidy_blobs(age=0) == Tidied(0, 0, 0, 1, 0)
    assert packs(tmp_path) == []


def test_models_that_are_dropped_take_their_tokens_with_them(store: PostgresStore, tmp_path: Path) -> None:
    own = fill(store, range(3))
    with store.writing() as writer:
        other = writer.add_model("def", "def", 1, active=False)
        writer.activate(other)
        writer.prune()
    assert store.blobs.get(KIND, list(own)) == {}
    assert store.tidy_blobs(age=0).deleted == 1
    assert packs(tmp_path) == []


def test_only_what_is_called_as_ours_is_deleted(store: PostgresStore, tmp_path: Path) -> None:
    fill(store, range(3))
    own = packs(tmp_path)[0].parent
    strangers = [
        own / "notes.txt", own / "0123.pack", own / "deeper" / f"{'a' * 32}.pack", own.parent / f"{'b' * 32}.pack",
        own.parent / f"library-{'0' * 16}" / f"{'c' * 32}.pack",
    ]  # fmt: skip
    orphan = own / f"{'d' * 32}.pack"
    for file in (*strangers, orphan):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"bytes")
    assert store.tidy_blobs() == Tidied(1, 0, 1, 0, 0)  # it is too young
    os.utime(orphan, (1, 1))
    assert store.tidy_blobs() == Tidied(1, 0, 1, 1, 0)
    assert all(file.exists() for file in strangers)
    assert not orphan.exists()


def test_a_copy_of_the_database_and_the_library_leave_each_other_their_packs(
    store: PostgresStore, tmp_path: Path
) -> None:
    own = fill(store, range(3))
    copy = tmp_path / "copy"
    with open_postgres(copy) as other, store._reading() as connection:
        rows = connection.exec_driver_sql("SELECT value FROM properties WHERE name = 'identity'").scalar_one()
        with other._transaction() as there:
            there.exec_driver_sql("UPDATE properties SET value = %s WHERE name = 'identity'", (rows,))
    try:
        with open_packed(copy, folder_place(tmp_path)) as other:
            theirs = fill(other, range(3))
            assert len({pack.parent for pack in packs(tmp_path)}) == 2
            for each in (other, store, other):
                assert each.tidy_blobs(age=0) == Tidied(1, 0, 0, 0, 0)
            assert (store.blobs.get(KIND, list(own)), other.blobs.get(KIND, list(theirs))) == (own, theirs)
    finally:
        forget(copy)


def test_verify_finds_lost_and_damaged_packs_and_repair_forgets_what_is_lost(
    store: PostgresStore, tmp_path: Path
) -> None:
    owns = [fill(store, range(3 * number, 3 * number + 3)) for number in range(4)]
    assert store.damages(CARD, deep=True) == []
    in_order = {pack.read_bytes(): pack for pack in packs(tmp_path)}
    lost, cut, bent, _ = (in_order[b"".join(own.values())] for own in owns)
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    bent.write_bytes(bent.read_bytes()[:-1] + b"\0")
    found = [(one.kind, one.count) for one in store.damages(CARD)]
    assert found == [("missing tokens", 3), ("wrong tokens", 1)]
    for own, code in zip(owns[:3], ("blobs-missing", "blobs-damaged", "blobs-damaged"), strict=True):
        with pytest.raises(LibraryError) as error:
            store.blobs.get(KIND, list(own))
        assert error.value.code == code
    found = [(one.kind, one.count) for one in store.damages(CARD, deep=True)]
    assert found == [("missing tokens", 3), ("wrong tokens", 2)]
    store.mend(CARD)
    assert store.damages(CARD, deep=True) == []
    left = [*list(owns[1].items())[:2], *list(owns[2].items())[:2], *owns[3].items()]
    assert store.blobs.get(KIND, [number for own in owns for number in own]) == dict(left)
    assert len(store.pending_regions(model_of(store), CARD, ["/"])) == 5
    again = fill(store, range(12))
    assert store.blobs.get(KIND, list(again)) == again


def test_a_place_without_its_mark_is_not_the_one_that_it_was(store: PostgresStore, tmp_path: Path) -> None:
    """A disk that is not mounted is no reason to forget anything, or to begin anew below its folder."""
    own = fill(store, range(3))
    (tmp_path / "blobs").rename(tmp_path / "unmounted")
    for attempt in (
        lambda: store.damages(CARD), lambda: store.tidy_blobs(age=0), lambda: fill(store, range(3, 5)),
    ):  # fmt: skip
        with pytest.raises(LibraryError) as error:
            attempt()
        assert error.value.code in ("blobs-away", "blobs-unreachable")
    assert not (tmp_path / "blobs").exists()
    (tmp_path / "unmounted").rename(tmp_path / "blobs")
    assert store.blobs.get(KIND, list(own)) == own
    assert store.damages(CARD, deep=True) == []
    assert store.counts().photos == 3


def test_near_ranges_are_read_together() -> None:
    near, far = (0, 10), (10 + GAP, 5)
    assert merged([far, near]) == [(0, 15 + GAP)]
    assert merged([near, (11 + GAP, 5)]) == [(0, 10), (11 + GAP, 16 + GAP)]
    assert merged([(0, 100), (10, 5)]) == [(0, 100)]


def test_a_search_reads_a_hundred_blobs_with_few_requests(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = fill(store, range(60)) | fill(store, range(60, 120))
    jobs: list[tuple[str, int, int]] = []
    one = Objects._range

    def counted(objects: Objects, job: tuple[str, int, int]) -> bytes | None:
        jobs.append(job)
        return one(objects, job)

    monkeypatch.setattr(Objects, "_range", counted)
    asked = list(own)[10:110]
    assert store.blobs.get(KIND, asked) == {number: own[number] for number in asked}
    assert [end - start for _, start, end in sorted(jobs, key=lambda job: job[1])] == [20 * 50, 20 * 50]
    assert AT_ONCE > 1


_KILLED = """
import os, signal, sys
from pathlib import Path
from packed import Objects, PostgresStore, put
url, cache, place, when = sys.argv[1:]
with PostgresStore(url, Path(cache), blobs=Objects(place)) as store:
  with store.writing() as writer:
    put(writer, range(3, 6))
    if when == "after the upload":
        writer.upload()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["before the upload", "after the upload"])
def test_a_kill_before_the_commit_leaves_an_orphan_at_most(store: PostgresStore, tmp_path: Path, when: str) -> None:
    own = fill(store, range(3))
    given = [url_of(tmp_path), str(tmp_path / "cache"), folder_place(tmp_path), when]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", _KILLED, *given], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    orphans = 1 if when == "after the upload" else 0
    assert len(packs(tmp_path)) == 1 + orphans
    assert store.tidy_blobs() == Tidied(1, 0, orphans, 0, 0)  # it may be of one that is about to commit
    assert store.tidy_blobs(age=0) == Tidied(1, 0, orphans, orphans, 0)
    assert store.blobs.get(KIND, list(own)) == own
    again = fill(store, range(3, 6))
    assert store.blobs.get(KIND, [*own, *again]) == own | again
    assert store.damages(CARD, deep=True) == []
