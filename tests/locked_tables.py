"""A library in PostgreSQL whose tables are locked by another connection, as those of a server that is slow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
from postgres_server import forget, url_of
from samples import five_photos

from mmsearch.config import Settings
from mmsearch.encoders.protocol import Encoder
from mmsearch.library import guarded_collection
from mmsearch.library.opening import open_library
from mmsearch.search import engine, reranking

SECONDS = 20.0  # that a search waits …
SHARE = 0.015  # … and of these, for a part that is locked: 0.3 s
SHARES = {
    "vectors": (guarded_collection, "SHARE"),
    "words": (engine, "WORDS_SHARE"),
    "regions": (reranking, "SHARE"),
}  # by what is locked
LONG = 60  # seconds in which even a busy machine gets there
T = TypeVar("T")


@contextmanager
def served_library(folder: Path, encoder: Encoder) -> Iterator[str]:
    """The address of one with five photos and their region tokens."""
    photos = five_photos(folder / "photos")
    (photos / "cat.png.txt").write_text("a cat that looks at us", encoding="utf-8")
    url = url_of(folder)
    own = Settings(library=folder / "library", cache=folder / "cache", device="cpu")
    with open_library(url, settings=own, encoder=encoder) as opened:
        assert opened.index(photos).added == 5
    yield url
    forget(folder)


@contextmanager
def locked(address: str, table: str) -> Iterator[None]:
    """Nobody else reads this table, and searches soon give up."""
    with psycopg.connect(address) as connection, pytest.MonkeyPatch.context() as patch:
        if table in SHARES:
            patch.setattr(*SHARES[table], SHARE)
        if table == "vectors":
            found = connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^vectors_' AND relkind = 'r'")
            ((table,),) = found.fetchall()
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def ended(work: Callable[[], T]) -> T:
    """What a call gives in another thread, which comes to its end."""
    given: list[T] = []
    wrong: list[BaseException] = []

    def run() -> None:
        try:
            given.append(work())
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LONG)
    assert not thread.is_alive(), "it hangs"
    if wrong:
        raise wrong[0]
    return given[0]
