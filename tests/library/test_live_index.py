"""Searches wait for nobody: not for catching up, not for a model that is loaded, not for a transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import Encoder
from mmsearch.library.library import Library
from mmsearch.library.live_index import LiveIndex
from mmsearch.library.models import Models, Once
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import StoredModel
from mmsearch.store.writer_lock import WriterLock
from mmsearch.types import Ids

SOON = 60  # seconds after which a thread that should go on is taken to hang
SEARCHES = 20


class Gate:
    """A place where threads are held: closed, it lets nobody through; ``reached`` says that somebody is there."""

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        self._open.set()

    def close(self) -> None:
        self.reached.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        if not self._open.is_set():
            self.reached.set()
            assert self._open.wait(SOON)


class GatedStore(SqliteStore):
    """A real store that holds whoever asks what the index should hold, which only catching up does here."""

    def __init__(self, file: Path) -> None:
        self.gate = Gate()
        super().__init__(file)

    def searchable(self, *arguments: Any) -> Ids:
        self.gate.pass_through()
        return super().searchable(*arguments)


class GatedModels(Models):
    """Real models whose loading can be held."""

    def __init__(self, store: SqliteStore, folder: Path, settings: Settings, given: Encoder) -> None:
        self.gate = Gate()
        super().__init__(store, folder, settings, given)

    def _loaded(self, stored: StoredModel) -> Encoder:
        self.gate.pass_through()
        return super()._loaded(stored)


@pytest.fixture
def library(tmp_path: Path, settings: Settings, region_encoder: OnnxEncoder) -> Iterator[Library]:
    """A library of three photos whose parts have gates."""
    folder = settings.library
    folder.mkdir(parents=True)
    store = GatedStore(folder / "library.sqlite")
    models = GatedModels(store, folder, settings, region_encoder)
    vectors = LiveIndex(store, folder / "index", models)
    with Library(store, vectors, models, partial(WriterLock, folder), settings) as opened:
        draw(tmp_path / "photos", "abc")
        opened.index(tmp_path / "photos")
        yield opened


def draw(folder: Path, names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")


def found(library: Library) -> str:
    return "".join(sorted(Path(hit.path).stem for hit in library.search("a dog", 10)))


@contextmanager
def held(gate: Gate, work: Callable[[], object]) -> Iterator[None]:
    """While the block runs, a thread that does the work is held at the gate; after it, the work comes to its end."""
    gate.close()
    with ThreadPoolExecutor(1) as pool:
        try:
            running = pool.submit(work)
            assert gate.reached.wait(SOON)
            yield
            assert not running.done()
        finally:
            gate.open()
        running.result(SOON)


def searched_beside(library: Library) -> list[str]:
    """What searches of another thread find; fails where one waits."""
    with ThreadPoolExecutor(1) as pool:
        return [pool.submit(found, library).result(SOON / 2) for _ in range(SEARCHES)]


def test_searches_go_on_while_another_thread_catches_up(library: Library, tmp_path: Path) -> None:
    assert found(library) == "abc"
    draw(tmp_path / "photos", "d")
    assert isinstance(library.store, GatedStore)
    with held(library.store.gate, lambda: library.index(tmp_path / "photos")):
        assert searched_beside(library) == ["abc"] * SEARCHES  # the photo is stored, and not in the index yet
    assert found(library) == "abcd"


def test_a_search_that_catches_up_holds_up_no_other_one(library: Library, tmp_path: Path) -> None:
    assert found(library) == "abc"
    with library.store.writing() as writer:  # as another process would
        writer.remove(str(tmp_path / "photos" / "a.png"))
    assert isinstance(library.store, GatedStore)
    with held(library.store.gate, lambda: found(library)):
        assert searched_beside(library) == ["bc"] * SEARCHES
    assert len(library.vectors.snapshot().index) == 2


def test_searches_go_on_while_another_model_is_loaded(library: Library) -> None:
    assert found(library) == "abc"
    with library.store.writing() as writer:
        other = writer.add_model("other", "0" * 16, 8, active=False)
    assert isinstance(library.models, GatedModels)

    def load() -> None:
        with pytest.raises(Exception, match="other"):
            library.models.encoder(other)

    with held(library.models.gate, load):
        assert searched_beside(library) == ["abc"] * SEARCHES


def test_searches_go_on_while_a_transaction_is_open(library: Library, tmp_path: Path) -> None:
    assert found(library) == "abc"
    with library.lock(), library.store.writing() as writer:
        writer.remove(str(tmp_path / "photos" / "a.png"))
        assert searched_beside(library) == ["abc"] * SEARCHES
    assert found(library) == "bc"


def test_a_snapshot_never_changes(library: Library, tmp_path: Path) -> None:
    before = library.vectors.snapshot()
    ids = before.index.ids().tolist()
    draw(tmp_path / "photos", "de")
    library.index(tmp_path / "photos")
    library.remove(tmp_path / "photos" / "a.png")
    after = library.vectors.snapshot()
    assert before.index.ids().tolist() == ids
    assert (len(after.index), after.generation > before.generation) == (4, True)
    assert library.vectors.snapshot() is after


def test_what_is_made_once_is_made_by_one_and_waited_for_by_those_who_want_it() -> None:
    once, gate, made = Once[str](), Gate(), []

    def make() -> str:
        made.append("slow")
        gate.pass_through()
        return "slow"

    with ThreadPoolExecutor(4) as pool:
        gate.close()
        slow = [pool.submit(once.get, "slow", make) for _ in range(3)]
        assert gate.reached.wait(SOON)
        assert pool.submit(once.get, "quick", lambda: "quick").result(SOON) == "quick"  # another key waits for nobody
        gate.open()
        assert [one.result(SOON) for one in slow] == ["slow"] * 3
    assert made == ["slow"]


def test_what_could_not_be_made_is_tried_again() -> None:
    once = Once[int]()
    with pytest.raises(ZeroDivisionError):
        once.get("a", lambda: 1 // 0)
    assert once.get("a", lambda: 1) == 1
