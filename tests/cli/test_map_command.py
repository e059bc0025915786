"""``mmsearch map`` on the real command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from samples import CLI, interruptible, surroundings


@pytest.fixture
def shelf(mapped_library: Path, tmp_path: Path) -> Path:
    return shutil.copytree(mapped_library, tmp_path / "shelf")


def test_clusters_are_listed_and_found_and_the_file_is_written(
    mmsearch: CLI, shelf: Path, tag_cache: Path, tmp_path: Path
) -> None:
    done = mmsearch("map", "--library", shelf, "-o", "map.html", MMSEARCH_CACHE=str(tag_cache))
    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert sum(int(row[1]) for row in rows) == 30
    assert "30 pictures on the map" in done.stderr
    assert "named by the words that ship" in done.stderr
    assert (tmp_path / "map.html").read_text("ascii").startswith("<!DOCTYPE html>")
    again = json.loads(mmsearch("map", "--library", shelf, "--json").stdout)
    assert (again["photos"], again["laid_out"], again["kept"], again["file"]) == (30, 0, 30, None)
    assert [[str(one["number"]), str(one["size"]), one["name"]] for one in again["clusters"]] == rows
    found = mmsearch("query", "--library", shelf, "--json", "-k", "50", f'cluster:"{rows[0][2]}"').stdout
    assert len(found.splitlines()) >= int(rows[0][1])
    by_option = mmsearch("query", "--library", shelf, "--json", "-k", "50", "--cluster", "2").stdout
    assert len(by_option.splitlines()) == int(rows[1][1])


def test_what_cannot_be_is_told(mmsearch: CLI, shelf: Path, photos: Path, tmp_path: Path) -> None:
    assert "make one: mmsearch map" in mmsearch("query", "--library", shelf, "cluster:1", check=1).stderr
    assert "must be kmeans or hdbscan" in mmsearch("map", "--library", shelf, "--clusters", "x", check=2).stderr
    assert "does not end in .html" in mmsearch("map", "--library", shelf, "-o", "map.png", check=1).stderr
    mmsearch("index", photos, "--library", tmp_path / "few", "--no-regions")
    assert "at least 10 different pictures" in mmsearch("map", "--library", tmp_path / "few", check=1).stderr
    assert mmsearch("map", "--library", tmp_path / "nowhere", check=1).stdout == ""


def test_ctrl_c_leaves_nothing_half(shelf: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from mmsearch.manage.map import make\n"
        "def stop(*_, **__): os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(30)\n"
        "make.lay_out = stop\n"
        "from mmsearch.cli.app import main\n"
        f"sys.argv = ['mmsearch', 'map', '--library', {str(shelf)!r}, '-o', {str(tmp_path / 'map.html')!r}]\n"
        "main()\n"
    )
    with interruptible():
        done = subprocess.run(
            [sys.executable, "-c", code], env=surroundings(tmp_path, {}), capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stdout) == (130, "")
    assert "interrupted: the last map stays as it was" in done.stderr
    assert not (tmp_path / "map.html").exists()
    assert not (shelf / "map").exists()
