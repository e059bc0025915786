"""Several at once on one library: processes that index, threads that search (a minute of it: ``soak_together.py``)."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checked import check, encodes
from drawn_photos import Folder
from forked_runs import ForkedRuns
from together import together

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library

pytestmark = pytest.mark.slow


PHOTOS = 60  # that no other test has encoded, so that who is first takes a while


def index(forked: ForkedRuns, place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["index", str(place / "photos"), "--json", "--no-regions", "--library", str(place / "library"), *options]
    return forked("none", 0, command, {**os.environ, "MMSEARCH_BATCH": "8"})


def test_of_two_runs_one_waits(forked: ForkedRuns, tmp_path: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    Folder(tmp_path / "photos", first=10_000).grow(PHOTOS)
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(index, forked, tmp_path) for _ in range(2)]
    said = [one.result() for one in both]
    assert [done.returncode for done in said] == [0, 0], said
    assert sorted(json.loads(done.stdout)["encoded"] for done in said) == [0, PHOTOS]
    assert encodes(tmp_path / "library") == PHOTOS
    assert sum("waiting until it is done" in done.stderr for done in said) == 1
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        assert check(library) == ([], [])


def test_who_does_not_want_to_wait_is_told(
    forked: ForkedRuns, tmp_path: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    Folder(tmp_path / "photos").grow(5)
    with open_library(settings.library, settings=settings, encoder=encoder) as library, library.lock():
        done = index(forked, tmp_path, "--no-wait")
    assert done.returncode == 1
    assert "another mmsearch is writing" in done.stderr


def test_searches_while_another_process_indexes(
    forked: ForkedRuns, tmp_path: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    told = together(tmp_path, settings, encoder, forked, seconds=2, threads=3)
    assert told["errors"] == []
    assert told["searches"] > 10
    assert told["runs"] >= 1
