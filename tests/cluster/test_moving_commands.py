"""``mmsearch cluster import`` and ``export`` in a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import forget, open_postgres, url_of
from samples import CLI

from mmsearch.cli import progress_bar


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield url_of(tmp_path, empty=True)
    forget(tmp_path)


def test_a_library_goes_to_a_server_and_back(
    mmsearch: CLI, photos: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, back = tmp_path / "own", tmp_path / "back"
    mmsearch("index", photos, "--library", own)
    monkeypatch.setattr(progress_bar, "EVERY", 0.0)  # each step says what it would say each ten seconds
    done = mmsearch("cluster", "import", own, "--library", url, "--verify-queries", "5")
    place, copied, asked = done.stdout.replace(" holds ", "\n").splitlines()
    assert place.startswith("postgresql://postgres@/")
    assert copied.endswith("copied now: 5 photos can be found")
    assert asked == "5 queries asked of both: the same answers"
    steps = {line.partition(":")[0] for line in done.stderr.splitlines()}
    assert steps >= {"Opening the library", "Rows", "Comparing"}
    parts = tmp_path / "parts.toml"
    parts.write_text(f'metadata = "{url}"\n')
    again = mmsearch("cluster", "import", own, "--library", parts, "--verify-queries", "0", "--json").stdout
    line = json.loads(again)
    assert (line["copied"], line["photos"], line["compared_by"], line["differences"]) == (0, 5, "counts", [])
    assert line["rows"] > 30
    mmsearch("cluster", "export", back, "--library", parts, "--verify-queries", "5")
    query = ("query", "--json", "a cat", "--library")
    assert mmsearch(*query, back).stdout == mmsearch(*query, own).stdout

    with open_postgres(tmp_path) as store, store._transaction() as connection:
        connection.exec_driver_sql("DELETE FROM photos WHERE id = (SELECT max(id) FROM photos)")
    said = mmsearch("cluster", "import", own, "--library", url, "--verify-queries", "5", check=1).stdout.splitlines()
    assert said[1:3] == [
        "the table 'photos' has 5 rows, and 4 in the copy",
        "the table 'words' has 5 rows, and 4 in the copy",
    ]
    assert said[-1].startswith("the copy is not the same: ")


def test_wrong_usage_is_told(mmsearch: CLI, photos: Path, url: str, tmp_path: Path) -> None:
    command = ("cluster", "import", tmp_path / "nothing", "--library")
    assert "must be the address of a library" in mmsearch(*command, tmp_path / "other", check=2).stderr
    for which, name in (("import", "SOURCE"), ("export", "FOLDER")):
        said = mmsearch("cluster", which, url, "--library", url, check=2).stderr.splitlines()[-1]
        assert said.endswith(f"Invalid value for {name}: must be a folder, not the address of a server")
    said = mmsearch(*command, url, check=1).stderr.splitlines()[-1]
    assert said.startswith(f"mmsearch: there is no library in {tmp_path / 'nothing'} yet")
    mmsearch("index", photos, "--library", url)
    mmsearch("index", photos, "--library", tmp_path / "own")
    said = mmsearch("cluster", "import", tmp_path / "own", "--library", url, check=1).stderr.splitlines()[-1]
    assert said.endswith("holds something else already; name one that is new or empty")
    said = mmsearch("cluster", "export", tmp_path / "photos", "--library", url, check=1).stderr.splitlines()[-1]
    assert "holds other files" in said
