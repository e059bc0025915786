"""backup, restore, export and import on the real command line."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from played_terminal import play
from samples import CLI

from mmsearch.cli.installing import adding


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_backup_comes_back(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    hits = mmsearch("query", "a cat", "--json").stdout
    done = mmsearch("backup", "saved")
    assert done.stdout == ""
    assert done.stderr.startswith("saved holds the library, ")
    assert len(done.stderr.splitlines()) == 1
    assert (
        "saved exists already; name another file, or replace it with --force"
        in mmsearch("backup", "saved", check=1).stderr
    )
    assert lines(mmsearch("backup", "saved", "--force", "--json").stdout) == [
        {"file": "saved", "bytes": (tmp_path / "saved").stat().st_size}
    ]
    mmsearch("remove", photos / "cat.png")
    assert mmsearch("query", "a cat", "--json").stdout != hits
    refused = mmsearch("restore", "saved", check=1)
    assert "has pictures already; restore into another one with --library, or replace it with --force" in refused.stderr
    done = mmsearch("restore", "saved", "--force")
    assert done.stdout == ""
    assert done.stderr.splitlines()[0].startswith("5 photos can be found in ")
    assert done.stderr.splitlines()[1].startswith("what was there before is kept: ")
    assert mmsearch("query", "a cat", "--json").stdout == hits
    (told,) = lines(mmsearch("restore", "saved", "--library", tmp_path / "new", "--json").stdout)
    assert told == {"library": str(tmp_path / "new"), "photos": 5, "kept": None}
    assert mmsearch("query", "a cat", "--json", "--library", tmp_path / "new").stdout == hits


def test_a_terminal_sees_how_far_a_backup_is(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    command = [sys.executable, "-m", "mmsearch.cli", "backup", "saved"]
    shown, _ = play(command, {}, folder=tmp_path, HOME=str(tmp_path / "home"))
    assert b"Backing up" in shown
    assert b"saved holds the library" in shown


def test_an_export_comes_back(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    done = mmsearch("export", "files")
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "5 files and 5 vectors written to files"
    assert "is not empty; name a folder that is new or empty" in mmsearch("export", "files", check=1).stderr
    new = ("--library", tmp_path / "new")
    (told,) = lines(mmsearch("import", "files", *new, "--json").stdout)
    assert told.pop("seconds") >= 0
    assert told == {"added": 5, "known": 0, "skipped": [], "model": "embedded"}
    for query in ("a cat", "a man with a camera"):
        assert mmsearch("query", query, "--json", *new).stdout == mmsearch("query", query, "--json").stdout
    (report,) = lines(mmsearch("index", "--json", *new).stdout)
    assert (report["unchanged"], report["added"], report["regions"], report["encoded"]) == (5, 0, 0, 0)
    assert mmsearch("import", "files", *new).stderr.startswith("5 known before in ")


def test_without_pyarrow_the_table_alone_is_written(
    mmsearch: CLI, mmsearch_process: CLI, photos: Path, tmp_path: Path
) -> None:
    """In processes: a module is hidden before anything is imported."""
    mmsearch("index", photos)
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "pyarrow.py").write_text("raise ImportError\n")
    done = mmsearch_process("export", "files", "--json", PYTHONPATH=str(tmp_path / "hidden"))
    assert lines(done.stdout) == [{"folder": "files", "files": 5, "vectors": 5, "parquet": False}]
    assert done.stderr == f"photos.parquet was left out: it needs {adding('export')}\n"
    names = ["model.json", "photos.csv", "regions.npy", "vectors.npy"]
    assert sorted(file.name for file in (tmp_path / "files").iterdir()) == names


def test_vectors_of_another_program(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    mmsearch("export", "files")
    vectors = np.load(tmp_path / "files" / "vectors.npy").astype(np.float32) * 7
    with (tmp_path / "files" / "photos.csv").open(encoding="utf-8", newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    (tmp_path / "given").mkdir()
    np.save(tmp_path / "given" / "vectors.npy", np.concatenate([vectors, vectors[:1]]))
    (tmp_path / "given" / "photos.csv").write_text("\n".join(["path", *paths, "gone.png"]) + "\n", "utf-8")
    new = ("--library", tmp_path / "new")
    assert "say which model made its vectors, --model NAME" in mmsearch("import", "given", *new, check=1).stderr
    done = mmsearch("import", "given", "--model", "embedded", *new)
    assert done.stderr.splitlines()[1].startswith("5 added, 1 skipped in ")
    assert done.stderr.splitlines()[2] == "skipped given/gone.png: no such file or folder"
    (hit,) = lines(mmsearch("query", "a cat", "-k", "1", "--json", *new).stdout)
    assert hit["path"] == str(photos / "cat.png")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["backup"], 2, "FILE"),
        (["backup", "photos"], 1, "photos is a folder; name a file for the backup, such as photos/photos.backup"),
        (["restore", "nowhere"], 1, "nowhere: no such file"),
        (
            ["restore", "notes.txt", "--force"],
            1,
            "notes.txt is no backup; wanted is a file that `mmsearch backup` wrote",
        ),
        (["restore", "other.sqlite", "--force"], 1, "is the database of another program"),
        (["export"], 2, "FOLDER"),
        (["export", "notes.txt"], 1, "notes.txt is a file; name a folder that is new or empty"),
        (["import", "nowhere"], 1, "nowhere: no such folder"),
        (["import", "photos"], 1, "vectors.npy: no such file; a folder to import has vectors.npy and photos.csv"),
    ],
)
def test_wrong_input_has_a_message_and_an_exit_code(
    mmsearch: CLI, common_shelf: Path, arguments: list[str], code: int, message: str
) -> None:
    done = mmsearch(*arguments, check=code)
    assert message in done.stderr
    assert done.stdout == ""


def test_a_newer_backup_names_the_remedy(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    mmsearch("backup", "saved")
    with closing(sqlite3.connect(tmp_path / "saved")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
    done = mmsearch("restore", "saved", "--force", check=1)
    assert "was made by a newer version of mmsearch (schema '999'); upgrade with: pip install" in done.stderr


def test_backups_are_light_on_imports(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    code = (
        "import sys\nfrom mmsearch.cli.app import app\n"
        "try: app(['backup', 'saved'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'open_clip', 'alembic', 'pyarrow') if name in sys.modules])"
    )
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "MMSEARCH_OFFLINE": "1"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert out.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "saved").exists()
