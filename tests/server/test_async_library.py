"""``AsyncLibrary``: all that a library does, to be awaited."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path

import pytest

import mmsearch
from mmsearch.library.library import Library


def public() -> list[str]:
    """The public methods of a library."""
    return [name for name, _ in inspect.getmembers(Library, inspect.isfunction) if not name.startswith("_")]


def test_every_public_method_is_there(shelf: Library) -> None:
    awaited = mmsearch.AsyncLibrary(shelf)
    assert len(public()) > 20
    assert set(public()) <= set(dir(awaited))
    for name in public():
        assert inspect.iscoroutinefunction(getattr(awaited, name)), name
    assert awaited.folder == shelf.folder
    with pytest.raises(AttributeError):
        _ = awaited.nothing


def test_results_and_errors_are_those_of_the_library(shelf: Library) -> None:
    async def ask() -> None:
        async with mmsearch.AsyncLibrary(shelf, threads=2) as awaited:
            hits, status = await asyncio.gather(awaited.search("a cat", k=2), awaited.status())
            assert (hits, status.photos) == (shelf.search("a cat", k=2), 5)
            with pytest.raises(mmsearch.QueryError):
                await awaited.search("date:foo")

    asyncio.run(ask())
    with pytest.raises(mmsearch.LibraryError):
        shelf.status()


def test_no_method_runs_on_the_event_loop(indexed: Library, photos: Path) -> None:
    seen: set[int] = set()

    async def run() -> None:
        awaited = mmsearch.AsyncLibrary(indexed)
        (photos / "cat.png").rename(photos / "cat2.png")
        await awaited.index(progress=lambda _: seen.add(threading.get_ident()))

    asyncio.run(run())
    assert threading.get_ident() not in seen
