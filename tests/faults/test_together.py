"""Several at once on one library: processes that index, threads that search (a minute of it: ``soak_together.py``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checked import check, encodes
from drawn_photos import Folder
from together import together

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library

pytestmark = pytest.mark.slow


def started(place: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mmsearch.cli", "index", str(place / "photos"), "--json", "--no-regions"]
    return subprocess.Popen(
        [*command, "--library", str(place / "library"), *options],
        env={**os.environ, "MMSEARCH_BATCH": "8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_two_runs_one_waits(tmp_path: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    Folder(tmp_path / "photos").grow(120)
    both = [started(tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(json.loads(told)["encoded"] for told, _ in said) == [0, 120]
    assert encodes(tmp_path / "library") == 120
    assert sum("waiting until it is done" in words for _, words in said) == 1
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        assert check(library) == ([], [])


def test_who_does_not_want_to_wait_is_told(tmp_path: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    Folder(tmp_path / "photos").grow(5)
    with open_library(settings.library, settings=settings, encoder=encoder) as library, library.lock():
        process = started(tmp_path, "--no-wait")
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "another mmsearch is writing" in said


def test_searches_while_another_process_indexes(tmp_path: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    told = together(tmp_path, settings, encoder, seconds=6, threads=3)
    assert told["errors"] == []
    assert told["searches"] > 10
    assert told["runs"] >= 1
