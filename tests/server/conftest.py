"""Libraries of five photos, and who asks for them over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from samples import five_photos
from served import BASE, TOKEN, Asker
from shared import made_once

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.server import ServerOptions, app


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the five photos; nothing changes it."""
    return made_once(tmp_path_factory, "served photos", five_photos)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder, shown: Path) -> Path:
    """A library of them, indexed once."""

    def make(folder: Path) -> None:
        with open_library(folder, settings=_settings(folder), encoder=encoder) as library:
            library.index(shown)

    return made_once(tmp_path_factory, "served library", make)


def _settings(folder: Path) -> Settings:
    own = Settings(library=folder, cache=folder / "cache")
    return replace(own, batch=4, device="cpu", reranker="none", thumbnails=0)


@pytest.fixture
def shelf(original: Path, encoder: OnnxEncoder) -> Iterator[Library]:
    """That library, to be read: no test may change it or its photos."""
    with open_library(original, settings=_settings(original), encoder=encoder) as library:
        yield library


@pytest.fixture
def indexed(library: Library, photos: Path) -> Library:
    """A library of the same photos that a test may change."""
    library.index(photos)
    return library


@pytest.fixture
def asker(shelf: Library) -> Iterator[Asker]:
    """Makes clients of a server with these options, which have the token unless ``token`` is empty."""
    opened: list[TestClient] = []

    def make(library: Library | None = None, token: str = TOKEN, **options: object) -> TestClient:
        server = app(library or shelf, ServerOptions(token=TOKEN, **options))  # type: ignore[arg-type]
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
