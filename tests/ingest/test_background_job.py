"""Work beside an index run: when it is due, that it is waited for, and that it ends with the run that breaks off."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from drawn_photos import draw

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.indexes import index, maintenance, policy
from mmsearch.ingest import background_job
from mmsearch.ingest.background_job import Beside
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.types import Progress

COUNT = 60


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    folder = tmp_path / "drawn"
    folder.mkdir()
    for number in range(COUNT):
        draw(folder / f"{number:03d}.jpg", number)
    return folder


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Due each 10 photos, and an approximate index from 20 on."""
    monkeypatch.setattr(background_job, "LEAST", 10)
    monkeypatch.setattr(background_job, "SHARE", 0.0)
    monkeypatch.setattr(maintenance, "LEAST_TAIL", 10)
    for module in (policy, index):
        monkeypatch.setattr(module, "FEW", 20)


def described(library: Library) -> dict[str, Any]:
    """The index on disk."""
    found = [json.loads(file.read_text("utf-8")) for file in (library.folder / "index").glob("*.json")]
    return max(found, key=lambda facts: facts["count"], default={"count": 0, "likely": None})


def test_it_is_due_when_many_more_are_stored() -> None:
    done: list[int] = []
    again = threading.Semaphore(0)

    def work() -> None:
        done.append(count)
        again.release()

    with Beside(work, lambda: None, 20_000, lambda: None) as running:
        for count in range(0, 15_000, 100):
            running.stored(count)
            if count in (4_000, 8_800, 14_600):
                assert again.acquire(timeout=30)
                time.sleep(0.05)  # until the thread is free again
    assert done == [4_000, 8_800, 14_600]  # a fifth of 20,000, of 24,000, of 28,800


def test_what_has_begun_is_waited_for() -> None:
    waited = threading.Event()
    done = threading.Event()

    def work() -> None:
        assert waited.wait(30)
        done.set()

    with Beside(work, lambda: pytest.fail("stopped"), 0, waited.set) as running:
        running.stored(background_job.LEAST)
    assert done.is_set()


def test_an_error_ends_it() -> None:
    stopped = threading.Event()

    def broken_off() -> None:
        with Beside(lambda: stopped.wait(30), stopped.set, 0, lambda: None) as running:
            running.stored(background_job.LEAST)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert stopped.is_set()


def test_its_own_errors_harm_no_run(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise OSError("no room")

    with caplog.at_level("INFO"), Beside(work, lambda: None, 0, lambda: None) as running:
        running.stored(background_job.LEAST)
    assert "no room" in caplog.text


@pytest.mark.usefixtures("often")
def test_the_index_grows_while_pictures_are_stored(library: Library, drawn: Path) -> None:
    seen: list[tuple[int, str]] = []

    def progress(done: Progress) -> None:
        if done.step == "pictures" and done.done == 40:
            end = time.monotonic() + 60
            while (facts := described(library))["likely"] is None and time.monotonic() < end:
                time.sleep(0.05)
            assert facts["likely"] is not None
            seen.append((facts["count"], facts["likely"]["kind"]))

    library.index(drawn, progress=progress)
    ((count, kind),) = seen
    assert 20 < count <= 40
    assert kind == "ivf-rabitq"
    assert described(library)["count"] == COUNT
    assert library.status().index == COUNT
    assert not library.verify(deep=True)


@pytest.mark.usefixtures("often")
def test_a_run_that_breaks_off_leaves_a_whole_index(library: Library, drawn: Path, encoder: OnnxEncoder) -> None:
    def progress(done: Progress) -> None:
        if done.step == "pictures" and done.done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.index(drawn, progress=progress)
    assert not library.verify(deep=True)
    with open_library(library.folder, settings=library.settings, encoder=encoder) as again:
        assert again.status().index == 40
        assert again.index(drawn).added == COUNT - 40
        assert again.status().index == COUNT
