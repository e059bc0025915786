"""Index runs of the real command line that are killed around commits, with region tokens in packs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from forked_runs import ForkedRuns
from packed import folder_place
from postgres_server import forget, url_of

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

pytestmark = pytest.mark.slow

COMMITS = (3, 5, 6, 7, 8, 9, 10, 12)  # before or after the so-maniest of a run


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield url_of(tmp_path)
    forget(tmp_path)


def whole(library: Library) -> tuple[int, int]:
    """Photos that can be found, and those that have tokens; what is stored is in order."""
    assert library.verify(deep=True) == []
    status = library.status()
    return status.photos, status.regions


def test_what_was_committed_has_its_tokens_and_orphans_are_found(
    forked: ForkedRuns, url: str, tmp_path: Path, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    own = replace(settings, blobs=folder_place(tmp_path))
    environment = {**os.environ, "MMSEARCH_BATCH": "1", "MMSEARCH_BLOBS": own.blobs}
    before, kills, orphans = 0, 0, 0
    for number, count in enumerate(COMMITS):
        point = ("before a commit", "after a commit")[number % 2]
        done = forked(point, count, ["index", str(photos), "--library", url], environment)
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        kills += done.returncode != 0
        with open_library(url, settings=own, encoder=encoder) as library:
            found, having = whole(library)
            assert before <= found == having
            before = found
            orphans += library.store.tidy_blobs().orphans
            assert library.store.tidy_blobs(age=0).missing == 0
            assert whole(library) == (found, having)
    assert kills >= 4
    with open_library(url, settings=own, encoder=encoder) as library:
        library.index(photos)
        assert whole(library) == (5, 5)
        assert library.store.tidy_blobs(age=0).orphans == 0
    assert orphans >= 1
