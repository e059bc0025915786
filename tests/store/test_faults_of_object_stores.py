"""What goes wrong between a library and the object store that has its region tokens: nothing is lost, nothing is wrong.

Each fault is met once, when another try helps, and for good, when there is one clear error and the same call goes on
once the store answers again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from object_server import Asked, Fault, between, object_server, use
from packed import CARD, KIND, QUICK, bucket_place, fill, ids_of, model_of, open_packed, tokens
from postgres_server import forget

from mmsearch.errors import LibraryError
from mmsearch.store.postgres import pack_care
from mmsearch.store.postgres.store import PostgresStore

BEFORE = range(pack_care.FEW - 1)  # packs of one token each, in every library here


@dataclass
class Trouble:
    """What goes wrong, with which requests, and how often; it ends with ``end``."""

    fault: Callable[[threading.Event], Fault] | None = None
    hits: Callable[[Asked], bool] = lambda _: True
    times: int = 0
    met: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, asked: Asked) -> Fault | None:
        with self.lock:
            if self.fault is None or self.met >= self.times or not self.hits(asked):
                return None
            self.met += 1
            return self.fault(self.gate)

    def begin(self, fault: Callable[[threading.Event], Fault], hits: Callable[[Asked], bool], times: int) -> None:
        self.fault, self.hits, self.times, self.met = fault, hits, times, 0

    def end(self) -> None:
        self.fault = None
        self.gate.set()


FAULTS: dict[str, Callable[[threading.Event], Fault]] = {
    "500": lambda _: Fault(500, "InternalError"),
    "502": lambda _: Fault(502, "BadGateway"),
    "503": lambda _: Fault(503, "SlowDown"),
    "504": lambda _: Fault(504, "GatewayTimeout"),
    "slow": lambda gate: Fault(gate=gate),  # longer than anybody waits
    "cut": lambda _: Fault(cut=3),  # after three bytes
}
ONCE, ALWAYS = 1, 10**6


@pytest.fixture(scope="module")
def trouble() -> Trouble:
    return Trouble()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, trouble: Trouble) -> Iterator[PostgresStore]:
    """A library with some small packs, behind a server that makes trouble when it is told to."""
    folder = tmp_path_factory.mktemp("library")
    with pytest.MonkeyPatch.context() as patch, between(trouble.of) as proxy:
        use(patch, proxy.url)
        with open_packed(folder, bucket_place(folder)) as opened:
            for number in BEFORE:
                fill(opened, range(number, number + 1))
            yield opened
            trouble.end()
    forget(folder)


@pytest.fixture
def numbers(store: PostgresStore) -> Iterator[Callable[[int], range]]:
    """Numbers for pictures that no other test has; at the end all that is stored must be readable and whole."""
    made: list[int] = []

    def new(count: int) -> range:
        begin = made[-1] + 1 if made else 1 + max(ids_of(store))
        made.extend(range(begin, begin + count))
        return range(begin, begin + count)

    yield new
    everything(store)


def everything(store: PostgresStore) -> int:
    """Read all tokens that the library says it has, and compare them with what was given to it; how many."""
    wanted = {number: tokens(picture) for picture, number in ids_of(store).items()}
    assert store.blobs.get(KIND, list(wanted)) == wanted
    assert store.with_regions(model_of(store)) == len(wanted)
    return len(wanted)


def is_read(asked: Asked) -> bool:
    return asked.method == "GET" and "list-type" not in asked.path


def is_listing(asked: Asked) -> bool:
    return asked.method == "GET" and "list-type" in asked.path


def is_upload(asked: Asked) -> bool:
    return asked.method == "PUT" and ".pack" in asked.path


def is_deletion(asked: Asked) -> bool:
    return asked.method in ("POST", "DELETE")


def is_look(asked: Asked) -> bool:
    return asked.method == "HEAD"


def faults(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", names or list(FAULTS))


often = pytest.mark.parametrize("times", [pytest.param(ONCE, id="once"), pytest.param(ALWAYS, id="always")])


def meets(trouble: Trouble, call: Callable[[], object], times: int) -> None:
    """The call gets through a fault that comes once; where it stays, there is one clear error."""
    try:
        if times == ONCE:
            call()
        else:
            with pytest.raises(LibraryError) as error:
                call()
            assert error.value.code == "blobs-unreachable"
            assert "s3://" in str(error.value)
            assert "\n" not in str(error.value)
        assert trouble.met >= 1
    finally:
        trouble.end()


@faults()
@often
def test_reading(store: PostgresStore, trouble: Trouble, fault: str, times: int) -> None:
    trouble.gate.clear()
    ids = ids_of(store)
    wanted = {ids[number]: tokens(number) for number in BEFORE}
    trouble.begin(FAULTS[fault], is_read, times)
    found: dict[int, bytes] = {}
    meets(trouble, lambda: found.update(store.blobs.get(KIND, list(wanted))), times)
    assert found in ({}, wanted)
    assert store.blobs.get(KIND, list(wanted)) == wanted


@faults("500", "502", "503", "504", "slow")
@often
def test_uploading(
    store: PostgresStore, trouble: Trouble, numbers: Callable[[int], range], fault: str, times: int
) -> None:
    trouble.gate.clear()
    new, before = numbers(3), everything(store)
    trouble.begin(FAULTS[fault], is_upload, times)
    meets(trouble, lambda: fill(store, new), times)
    if times == ALWAYS:
        assert everything(store) == before  # nothing of the transaction is there
        fill(store, new)
    assert everything(store) == before + len(new)


@faults("500", "503")
@often
def test_looking_for_the_mark_before_writing(
    store: PostgresStore, trouble: Trouble, numbers: Callable[[int], range], fault: str, times: int
) -> None:
    trouble.gate.clear()
    new, before = numbers(2), everything(store)
    trouble.begin(FAULTS[fault], is_look, times)
    meets(trouble, lambda: fill(store, new), times)
    if times == ALWAYS:
        assert everything(store) == before
        fill(store, new)
    assert everything(store) == before + len(new)


@faults("500", "502", "503", "cut")
@often
def test_comparing(store: PostgresStore, trouble: Trouble, fault: str, times: int) -> None:
    trouble.gate.clear()
    trouble.begin(FAULTS[fault], is_listing, times)
    meets(trouble, lambda: store.damages(CARD), times)
    assert store.damages(CARD) == []


@faults("500", "502", "503", "504", "cut")
@often
def test_reading_all_packs(store: PostgresStore, trouble: Trouble, fault: str, times: int) -> None:
    trouble.gate.clear()
    trouble.begin(FAULTS[fault], is_read, times)
    meets(trouble, lambda: store.damages(CARD, deep=True), times)
    assert store.damages(CARD, deep=True) == []


@faults("500", "502", "503")
@often
@pytest.mark.parametrize("step", [is_read, is_upload, is_deletion, is_listing])
def test_putting_in_order(
    store: PostgresStore,
    trouble: Trouble,
    numbers: Callable[[int], range],
    step: Callable[[Asked], bool],
    fault: str,
    times: int,
) -> None:
    trouble.gate.clear()
    for number in numbers(pack_care.FEW):
        fill(store, range(number, number + 1))
    before = everything(store)
    trouble.begin(FAULTS[fault], step, times)
    meets(trouble, lambda: store.tidy_blobs(age=0), times)
    assert everything(store) == before
    store.tidy_blobs(age=0)
    left = store.tidy_blobs(age=0)
    assert (left.orphans, left.deleted, left.missing) == (0, 0, 0)
    assert everything(store) == before


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "credentials and rights"),
        (403, "InvalidAccessKeyId", "credentials and rights"),
        (401, "Unauthorized", "credentials and rights"),
        (404, "NoSuchBucket", "no such bucket"),
        (400, "BadRequest", "address, network and credentials"),
    ],
)
def test_what_no_other_try_helps_against_is_said(
    store: PostgresStore, trouble: Trouble, numbers: Callable[[int], range], status: int, code: str, said: str
) -> None:
    new, before = numbers(2), everything(store)
    trouble.begin(lambda _: Fault(status, code), is_upload, ALWAYS)
    try:
        with pytest.raises(LibraryError, match=said) as error:
            fill(store, new)
    finally:
        trouble.end()
    assert error.value.code == "blobs-unreachable"
    assert everything(store) == before


def test_an_upload_whose_answer_is_lost_leaves_an_orphan_and_no_error(
    store: PostgresStore, trouble: Trouble, numbers: Callable[[int], range]
) -> None:
    """The store has the pack, but nobody heard of it: it is uploaded again under another name."""
    trouble.gate.clear()
    store.tidy_blobs(age=0)
    new = numbers(2)
    trouble.begin(FAULTS["slow"], is_upload, ONCE)
    fill(store, new)
    trouble.end()
    wait_for(lambda: store.tidy_blobs().orphans == 1)
    assert store.tidy_blobs(age=0).deleted == 1
    assert everything(store)


def wait_for(holds: Callable[[], bool]) -> None:
    until = threading.Event()
    for _ in range(100):
        if holds():
            return
        until.wait(0.05)
    raise AssertionError("it did not come about")


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = bucket_place(tmp_path)
    use(monkeypatch, "http://127.0.0.1:1")
    try:
        with open_packed(tmp_path, place, QUICK) as store:
            with pytest.raises(LibraryError) as error:
                fill(store, range(2))
            assert error.value.code == "blobs-unreachable"
            assert place in str(error.value)
            use(monkeypatch, object_server().url)
        with open_packed(tmp_path, place) as store:
            own = fill(store, range(2))
            assert store.blobs.get(KIND, list(own)) == own
    finally:
        forget(tmp_path)
