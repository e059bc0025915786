"""A library to try commands on that are refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import in_process
import pytest
from samples import five_photos, surroundings


@pytest.fixture(scope="session")
def common_shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five photos in a library, a text, and a database of another program.  No test changes it."""
    folder = tmp_path_factory.mktemp("shelf")
    five_photos(folder / "photos")
    (folder / "notes.txt").write_text("neither a picture nor a database\n" * 100)
    with closing(sqlite3.connect(folder / "other.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE songs (title)")
    done = in_process.call(["index", "photos"], surroundings(folder, {}), folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Path:
    """Where commands run: that folder for tests that name it, for others their own."""
    wanted = "common_shelf" if "common_shelf" in request.fixturenames else "tmp_path"
    folder: Path = request.getfixturevalue(wanted)
    return folder
