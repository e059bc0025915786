"""Runs of the real command line over films that are killed: a film is there with all its moments, or not at all."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from films import film, photos
from forked_runs import ForkedRuns

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library

pytest.importorskip("av")
pytestmark = pytest.mark.slow

FILMS = 5
SRT = "1\n00:00:00,500 --> 00:00:01,500\nnumber {}\n"


def run(forked: ForkedRuns, point: str, count: int, folder: Path, library: Path) -> tuple[int, str]:
    command = ["index", str(folder), "--library", str(library), "--json"]
    done = forked(point, count, command, {**os.environ, "MMSEARCH_BATCH": "2", "MMSEARCH_MODEL": "embedded"})
    return done.returncode, done.stdout or done.stderr


def items_of(library: Path) -> list[int]:
    """How many items each film has, that can be found."""
    with closing(sqlite3.connect(library / "library.sqlite")) as connection:
        query = (
            "SELECT count(*) FROM photos JOIN items ON items.content_id = photos.content_id "
            "JOIN embeddings ON embeddings.item_id = items.id GROUP BY photos.id"
        )
        return [number for (number,) in connection.execute(query)]


@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("before a commit", 4),
        ("after a commit", 4),
        ("before a commit", 6),
        ("after a commit", 7),
        ("before a rename", 1),
    ],
)
def test_a_killed_run_leaves_whole_films(
    point: str, count: int, forked: ForkedRuns, tmp_path: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(FILMS):
        shown = [photos()[(number + step) % 6] for step in range(3)]
        (folder / f"{number}.mp4").write_bytes(film(shown))
        (folder / f"{number}.srt").write_text(SRT.format(number))
    library = tmp_path / "library"
    assert run(forked, point, count, folder, library)[0] == -9
    assert set(items_of(library)) <= {3}
    code, said = run(forked, "never", 0, folder, library)
    assert code == 0, said
    report = json.loads(said)
    assert report["added"] + report["unchanged"] == FILMS
    assert items_of(library) == [3] * FILMS
    with open_library(library, settings=settings, encoder=encoder) as opened:
        assert opened.verify(deep=True) == []
        model = opened.store.model()
        assert model is not None
        for number in range(FILMS):
            assert len(opened.store.find_words(f"number {number}", model, exact=True)) == 1
