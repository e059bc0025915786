"""Region tokens on the command line: said once, left out on demand, and filled in after a kill."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from samples import CLI, SAMPLES, model_without_regions

from mmsearch.encoders.export import region_graph
from mmsearch.encoders.torch.projection import Projection


def other_model(folder: Path) -> Path:
    """A model without region tokens whose fingerprint is not that of the embedded one."""
    model_without_regions(folder)
    file = folder / "model.json"
    file.write_text(file.read_text("utf-8").replace('"context": 64', '"context": 32'), "utf-8")
    return folder


@pytest.fixture
def mmsearch(mmsearch: CLI) -> CLI:
    """Without a reranker tokens are those of the model itself."""
    return partial(mmsearch, MMSEARCH_RERANKER="none")


def one(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out)
    return found


def test_tokens_are_left_out_and_added_later(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    folder = other_model(tmp_path / "model")
    region_graph.write(folder, Projection.random(1280, 120))
    report = one(mmsearch("index", photos, "--model", f"local-dir:{folder}", "--no-regions", "--json").stdout)
    assert (report["added"], report["regions"]) == (5, 0)
    assert "0 photos can be looked at again" in mmsearch("status").stdout
    assert mmsearch("index", MMSEARCH_REGIONS="false").stderr.startswith("5 unchanged in ")
    lines = mmsearch("index", MMSEARCH_REGIONS="false").stderr.splitlines()
    assert len(lines) == 1
    lines = mmsearch("index", "--regions", MMSEARCH_REGIONS="false").stderr.splitlines()
    assert lines[1:] == ["region tokens added to 5 photos indexed before"]
    status = one(mmsearch("status", "--json").stdout)
    assert (status["photos"], status["regions"]) == (5, 5)
    assert "5 photos can be looked at again" in mmsearch("status").stdout
    assert one(mmsearch("index", "--json").stdout)["regions"] == 0


def _filled(file: Path) -> int:
    connection = sqlite3.connect(file, timeout=10)
    try:
        return int(connection.execute("SELECT count(*) FROM regions").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.slow
def test_killed_back_fill_goes_on(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    for number in range(200):
        content = (SAMPLES / "rocket.jpg").read_bytes() + bytes(number + 1)  # each different, all the same picture
        (photos / f"{number}.jpg").write_bytes(content)
    folder = other_model(tmp_path / "model")
    mmsearch("index", photos, "--model", f"local-dir:{folder}")
    before = one(mmsearch("status", "--json").stdout)
    region_graph.write(folder, Projection.random(1280, 120))
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "MMSEARCH_OFFLINE": "1", "MMSEARCH_BATCH": "4"}
    environment["MMSEARCH_RERANKER"] = "none"
    running = subprocess.Popen([sys.executable, "-m", "mmsearch.cli", "index"], env=environment)
    file = tmp_path / "home" / ".local" / "share" / "mmsearch" / "library" / "library.sqlite"
    for _ in range(1200):
        time.sleep(0.02)
        if _filled(file) or running.poll() is not None:
            break
    running.kill()
    assert running.wait(timeout=60) != 0
    done = _filled(file)
    assert 0 < done < 205
    assert done % 4 == 0  # whole batches
    assert one(mmsearch("index", "--json").stdout)["regions"] == 205 - done
    after = one(mmsearch("status", "--json").stdout)
    assert after["regions"] == after["photos"] == 205
    assert (after["generation"], after["index"]) == (before["generation"], before["index"])
