"""A dozen runs of the real command line that are killed; ``soak.py`` does hundreds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checked import check, encodes
from drawn_photos import Folder
from forked_runs import ForkedRuns
from killed import POINTS

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryBusyError
from mmsearch.library.opening import open_library
from mmsearch.store.writer_lock import WriterLock

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, forked: ForkedRuns) -> Path:
    """``photos``, and a ``library`` of them as they were before they changed."""
    place = tmp_path_factory.mktemp("indexed")
    folder = Folder(place / "photos")
    folder.grow(44)  # so many that an approximate index is built
    code, said = run(forked, "never", 0, index(place, place / "library"))
    assert code == 0, said
    folder.change(200)
    folder.grow(50)  # so many that it is built anew
    return place


def index(place: Path, library: Path) -> list[str]:
    return ["index", str(place / "photos"), "--library", str(library), "--no-regions", "--json"]


def run(forked: ForkedRuns, point: str, count: int, command: list[str]) -> tuple[int, str]:
    done = forked(point, count, command, {**os.environ, "MMSEARCH_BATCH": "8"})
    return done.returncode, done.stdout or done.stderr


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_loses_nothing(
    point: str, indexed: Path, forked: ForkedRuns, settings: Settings, encoder: OnnxEncoder
) -> None:
    shutil.copytree(indexed / "library", settings.library)
    before = encodes(settings.library)
    code, said = run(forked, point, 2 if "commit" in point else 1, index(indexed, settings.library))
    assert code == -signal.SIGKILL, said
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        assert check(library) == ([], [])
    stored = encodes(settings.library)
    assert before == 44 <= stored
    code, told = run(forked, "never", 0, index(indexed, settings.library))
    assert code == 0, told
    # An id is handed out for each new vector, so none of these pictures had one before.
    assert json.loads(told)["encoded"] == encodes(settings.library) - stored
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        report = library.index()
        assert (report.added, report.updated, report.encoded, report.removed) == (0, 0, 0, 0)
        assert check(library) == ([], [])
        files = [path for path in (indexed / "photos").rglob("*") if path.is_file()]
        assert library.status().photos + library.status().failed == len(files)


def test_a_lock_does_not_outlive_its_holder(tmp_path: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    program = (
        "import sys, time; from pathlib import Path; from mmsearch.store.writer_lock import WriterLock\n"
        "with WriterLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    folder = settings.library
    folder.mkdir()
    holder = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LibraryBusyError), WriterLock(folder):
            pass
        holder.kill()
        holder.wait()
        with WriterLock(folder):
            pass
    finally:
        holder.kill()
        holder.communicate()
