"""A library that the first version wrote opens, is searched and goes on in this one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from samples import CLI

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import ModelCard
from mmsearch.errors import ModelError
from mmsearch.library.opening import open_library
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.types import Vectors

WRITTEN = Path(__file__).parent.parent / "fixtures" / "first_version"
FINGERPRINT = "bb6dddd678b09dc7"


class FirstCard(ModelCard):
    fingerprint = FINGERPRINT


class FirstEncoder(OnnxEncoder):
    """Calls itself by the fingerprint of the first version's model, and takes texts for the vectors of photos."""

    def __init__(self, folder: Path, stored: dict[str, Vectors]) -> None:
        super().__init__(folder)
        self.card = FirstCard(**{field.name: getattr(self.card, field.name) for field in fields(self.card)})
        self._stored = stored

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        rows = [self._stored.get(text, np.eye(1, self.card.dim, dtype=np.float32)[0]) for text in texts]
        return np.stack(rows)


@pytest.fixture
def library_of_then(tmp_path: Path) -> Path:
    shutil.copytree(WRITTEN, tmp_path / "then")
    return tmp_path / "then"


def stored(folder: Path) -> dict[str, Vectors]:
    with sqlite3.connect(folder / "library.sqlite") as connection:
        rows = connection.execute(
            "SELECT path, vector FROM photos JOIN embeddings USING (content_id) WHERE state = 'ok'"
        ).fetchall()
    connection.close()
    return {Path(os.fsdecode(path)).stem: np.frombuffer(vector, "<f2").astype(np.float32) for path, vector in rows}


def moved_to(folder: Path) -> None:
    """Write other places of the photos into the library: the ones that they have here."""
    with sqlite3.connect(folder / "library.sqlite") as connection:
        for table in ("photos", "roots"):
            for number, path in connection.execute(f"SELECT id, path FROM {table}").fetchall():
                new = os.fsencode(folder / "photos") + path[len(b"/srv/photos") :]
                connection.execute(f"UPDATE {table} SET path = ? WHERE id = ?", (new, number))
    connection.close()


def test_it_is_searched_with_its_own_vectors(library_of_then: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    vectors = stored(library_of_then)
    then = FirstEncoder(encoder.folder, vectors)
    with open_library(library_of_then, settings=settings, encoder=then) as library:
        status = library.status()
        assert (status.photos, status.failed, status.missing, status.index) == (4, 1, 1, 3)
        assert status.failures[0].path == "/srv/photos/broken.png"
        for name in ("camera", "rocket"):
            assert Path(library.search(name, 1, rerank=False)[0].path).stem == name
        cats = [Path(hit.path).name for hit in library.search("cat", 2, rerank=False)]
        assert sorted(cats) == ["cat again.jpg", "cat.jpg"]
        assert library.verify(deep=True) == []
    assert not list((library_of_then / "index").glob("exact-*"))


def test_it_goes_on_with_the_model_of_this_version(library_of_then: Path, mmsearch: CLI) -> None:
    at = ("--library", library_of_then)
    refused = mmsearch("query", "a cat", *at, check=1).stderr
    assert "made with another version of the embedded model" in refused
    assert "encode it anew with: mmsearch index --model embedded" in refused
    moved_to(library_of_then)
    report = json.loads(mmsearch("index", "--model", "embedded", "--json", *at).stdout)
    assert (report["updated"], len(report["skipped"]), report["removed"]) == (4, 1, 0)
    best = mmsearch("query", "a cat", "-k", "2", "--paths", *at).stdout.splitlines()
    assert sorted(Path(path).name for path in best) == ["cat again.jpg", "cat.jpg"]
    assert mmsearch("verify", "--deep", *at).stdout == "all is well: 4 photos\n"


UPGRADE = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from mmsearch.store.sqlite.store import SqliteStore

statements = []

@event.listens_for(Engine, "after_cursor_execute")
def executed(*given):
    statements.append(given[2])
    if len(statements) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

SqliteStore(Path(sys.argv[1])).close()
print(len(statements))
"""


@pytest.mark.slow
def test_an_upgrade_that_is_killed_leaves_the_library_as_it_was(tmp_path: Path) -> None:
    """After any of its statements; the next one to open it upgrades it whole."""

    def upgrade(name: str, last: int) -> subprocess.CompletedProcess[str]:
        file = shutil.copytree(WRITTEN, tmp_path / name) / "library.sqlite"
        return subprocess.run(
            [sys.executable, "-c", UPGRADE, str(file), str(last)], capture_output=True, text=True, check=False
        )

    def dump(name: str) -> tuple[str, list[str]]:
        with sqlite3.connect(tmp_path / name / "library.sqlite") as connection:
            ((version,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql").fetchall()
            rows = [connection.execute(f"SELECT * FROM {name}").fetchall() for name in ("photos", "embeddings")]
        connection.close()
        return version, [str(tables), str(rows)]

    whole = upgrade("whole", 0)
    count = int(whole.stdout)
    assert count > 50, whole.stderr
    shutil.copytree(WRITTEN, tmp_path / "before")
    for last in range(count // 6, count, count // 6):
        name = f"killed after {last}"
        assert upgrade(name, last).returncode == -signal.SIGKILL
        killed = dump(name)
        assert killed in (dump("before"), dump("whole"))  # one transaction
        SqliteStore(tmp_path / name / "library.sqlite").close()
        assert dump(name) == dump("whole")


@pytest.mark.parametrize(
    ("query", "found"), [("words:cat", {"cat.jpg", "cat again.jpg"}), ("type:jpeg words:rocket", {"rocket.jpg"})]
)
def test_words_and_conditions_need_no_model(
    library_of_then: Path, caplog: pytest.LogCaptureFixture, query: str, found: set[str]
) -> None:
    """That of the first version is not on this machine any more: what is compared with vectors says so."""
    caplog.set_level("INFO", "mmsearch")
    with open_library(library_of_then) as library:
        assert {Path(hit.path).name for hit in library.search(query)} == found
        assert len([one for one in caplog.messages if "hubness" in one]) == 1
        with pytest.raises(ModelError, match="made with another version of the embedded model"):
            library.search("a cat")
