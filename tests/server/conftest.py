"""A library of five photos, and who asks for it over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mmsearch.library.library import Library
from mmsearch.server import ServerOptions, app

TOKEN = "a token that is long enough"
BASE = "http://127.0.0.1:7878"
Asker = Callable[..., TestClient]


@pytest.fixture
def indexed(library: Library, photos: Path) -> Library:
    """cat.png, which is of 2009, cameraman.png, grass.png, trips/motorcycle.png, trips/rocket.jpg."""
    library.index(photos)
    return library


@pytest.fixture
def asker(indexed: Library) -> Iterator[Asker]:
    """Makes clients of a server with these options, which have the token unless ``token`` is empty."""
    opened: list[TestClient] = []

    def make(token: str = TOKEN, library: Library | None = None, **options: object) -> TestClient:
        server = app(library or indexed, ServerOptions(token=TOKEN, **options))  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = TestClient(server, base_url=BASE, headers=headers, follow_redirects=False)
        opened.append(client.__enter__())
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(asker: Asker) -> TestClient:
    return asker()


def names(page: dict[str, object]) -> list[str]:
    """The file names of the hits of a page."""
    hits = page["hits"]
    assert isinstance(hits, list)
    return [Path(hit["path"]).name for hit in hits]
