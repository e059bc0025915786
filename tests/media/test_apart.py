"""Films and documents outside an index run: what goes wrong with one costs its picture, and processes are few."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from films import film, photos
from numpy.typing import NDArray
from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.media.apart import DEATHS, Apart, decode_apart
from mmsearch.media.decode import decode, upright
from mmsearch.media.filesystem import open_regular
from mmsearch.media.part_picture import Place, upright_part
from mmsearch.types import Preprocess

SMALL = Preprocess(32)
SECONDS = 15.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Apart]:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "faults")  # processes get the same path
    made = Apart("faulty_decoders:faulty", SECONDS, count=1)
    yield made
    made.close()


@pytest.fixture
def story(tmp_path: Path) -> Path:
    pytest.importorskip("av")
    path = tmp_path / "story.mp4"
    path.write_bytes(film(photos()[:3]))
    return path


def scan() -> bytes:
    pages = [Image.fromarray(one) for one in photos()[:3]]
    content = io.BytesIO()
    pages[0].save(content, "TIFF", save_all=True, append_images=pages[1:])
    return content.getvalue()


def asked(apart: Apart, path: Path) -> object:
    """What comes of a file: its size, or the reason why there is none."""
    with open_regular(str(path)) as file:
        try:
            found = apart.ask(file, str(path), SMALL, 200.0)
        except ImageError as error:
            return error.reason
    return found.width, found.height


def named(folder: Path, name: str) -> Path:
    path = folder / name
    Image.new("RGB", (60, 40), "red").save(path)
    return path


@posix
def test_a_crash_and_a_hang_cost_their_own_picture(tmp_path: Path, faulty: Apart) -> None:
    crash, hang, good = (named(tmp_path, name) for name in ("crash.png", "hang.png", "good.png"))
    assert asked(faulty, crash) == "the decoder crashed (signal 11)"
    assert asked(faulty, good) == (60, 40)
    assert asked(faulty, hang) == f"decoding took longer than {SECONDS:g} s and was stopped"
    assert asked(faulty, good) == (60, 40)


@posix
def test_a_file_that_killed_processes_is_not_tried_again_until_it_is_written_to(tmp_path: Path, faulty: Apart) -> None:
    crash = named(tmp_path, "crash.png")
    assert [asked(faulty, crash) for _ in range(DEATHS)] == ["the decoder crashed (signal 11)"] * DEATHS
    assert faulty.processes == ()
    assert asked(faulty, crash) == f"{DEATHS} processes that read it crashed or took too long"
    assert faulty.processes == ()  # none was started
    os.utime(crash, ns=(0, 0))
    assert asked(faulty, crash) == "the decoder crashed (signal 11)"


def test_one_process_serves_all_pictures(tmp_path: Path, faulty: Apart) -> None:
    good = named(tmp_path, "good.png")
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: asked(faulty, good), range(12))) == [(60, 40)] * 12
    assert len(faulty.processes) == 1


@posix
def test_a_process_that_was_ended_by_others_costs_nothing(tmp_path: Path, faulty: Apart) -> None:
    good = named(tmp_path, "good.png")
    asked(faulty, good)
    (first,) = faulty.processes
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert asked(faulty, good) == (60, 40)
    assert first not in faulty.processes


def test_a_process_without_work_is_ended_and_another_one_started(tmp_path: Path) -> None:
    apart = Apart(f"{decode.__module__}:{decode.__name__}", 60.0, count=1, idle=0.05)
    good = named(tmp_path, "good.png")
    try:
        asked(apart, good)
        for _ in range(600):
            if not apart.processes:
                break
            threading.Event().wait(0.05)
        assert apart.processes == ()
        assert asked(apart, good) == (60, 40)
    finally:
        apart.close()


def test_pictures_are_those_that_are_decoded_here(story: Path) -> None:
    document = scan()
    with open_regular(str(story)) as file:
        for place in (Place(0, 500), Place(1, 2500), Place(2, 5999)):
            found = upright_part(file, str(story), place, 80, enlarge=False)
            assert np.abs(np.asarray(found, int) - upright_photo(place)).mean() < 12
        assert found.size == (80, 60)
        whole = upright_part(file, str(story), None, 80)
        assert np.array_equal(np.asarray(whole), np.asarray(upright(file, str(story), 80)))
    for page in range(3):
        found = upright_part(io.BytesIO(document), "scan.tif", Place(page), 160)
        assert np.array_equal(np.asarray(found), photos()[page])
    with pytest.raises(ImageError, match="there is no page 4 in it: it has 3"):
        upright_part(io.BytesIO(document), "scan.tif", Place(3), 160)


def upright_photo(place: Place) -> NDArray[np.int_]:
    return np.asarray(Image.fromarray(photos()[place.part]).resize((80, 60), Image.Resampling.BOX), int)


def test_decoded_films_are_those_that_are_decoded_here(story: Path) -> None:
    with open_regular(str(story)) as file:
        apart, here = decode_apart(file, str(story), SMALL), decode(file, str(story), SMALL)
    assert [(part.start_ms, part.end_ms) for part in apart.parts] == [
        (part.start_ms, part.end_ms) for part in here.parts
    ]
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(apart.parts, here.parts, strict=True))


LOOK = """
import sys
from mmsearch.media.filesystem import open_regular
from mmsearch.media.part_picture import Place, upright_part
from mmsearch.media.apart import decode_apart, pictures_apart
from mmsearch.types import Preprocess
with open_regular(sys.argv[1]) as file:
    upright_part(file, sys.argv[1], Place(0, 0), 80)
    upright_part(file, sys.argv[1], None, 80)
    decode_apart(file, sys.argv[1], Preprocess(32))
print(len(pictures_apart().processes), "av" in sys.modules, "pypdfium2" in sys.modules)
"""


def test_the_process_that_asks_does_not_load_what_reads_films_and_leaves_none_behind(story: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOOK, str(story)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 False False\n", "")
