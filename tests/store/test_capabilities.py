"""What a driver cannot do is said, and asked of nobody."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from samples import SAMPLES

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import RegionCard
from mmsearch.errors import QueryError, TransferError
from mmsearch.library.library import Library
from mmsearch.library.live_index import LiveIndex
from mmsearch.library.models import Models
from mmsearch.query.model import AnyOf, Camera, Condition, Date, Query, Words
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import Capabilities, Damage

NEW = Date(datetime(2000, 1, 1), None)


class PlainStore(SqliteStore):
    """A real store that says that it can do little."""

    capabilities = Capabilities(
        full_text=False, backup_file=False, integrity_rules=False, vector_search=False, filters=frozenset({Date})
    )

    def damages(self, card: RegionCard | None, deep: bool = False) -> list[Damage]:
        raise AssertionError("nobody asks for what it has no rules for")


@pytest.fixture
def library(tmp_path: Path, settings: Settings, encoder: OnnxEncoder) -> Iterator[Library]:
    settings.library.mkdir()
    store = PlainStore(settings.library / "library.sqlite")
    models = Models(store, settings.library, settings, encoder)
    vectors = LiveIndex(store, settings.library / "index", models)
    with Library(store, vectors, models, store.lock, settings) as opened:
        (tmp_path / "photos").mkdir()
        shutil.copy(SAMPLES / "chelsea.png", tmp_path / "photos" / "cat.png")
        opened.index(tmp_path / "photos")
        yield opened


def test_what_the_driver_can_do_is_done(library: Library) -> None:
    for query in ("a cat", Query((Words("a cat"),), (Condition(NEW), Condition(AnyOf((NEW, NEW)), exclude=False)))):
        assert [Path(hit.path).name for hit in library.search(query)] == ["cat.png"]
    assert library.verify() == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query((Words("a cat"),), (Condition(NEW), Condition(Camera("x")))), "this library cannot be asked for camera"),
        (Query((Words("a cat"),), (Condition(AnyOf((NEW, Camera("x")))),)), "this library cannot be asked for camera"),
        (Query((Words("cat", exact=True),)), "this library cannot look up words: leave out exact and excluded ones"),
        (Query((Words("a cat"), Words("dog", exclude=True))), "this library cannot look up words"),
    ],
)
def test_queries_that_the_driver_cannot_answer_are_refused(library: Library, query: Query, said: str) -> None:
    with pytest.raises(QueryError, match=re.escape(said)):
        library.search(query)


def test_a_backup_that_the_driver_cannot_make_is_refused(library: Library, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="this library cannot be copied to one file"):
        library.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
