"""What tests of the server share: who asks, and what hits are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi.testclient import TestClient

from mmsearch.library.library import Library

TOKEN = "a token that is long enough"
BASE = "http://127.0.0.1:7878"
API = "/api/v1"
Asker = Callable[..., TestClient]


def names(page: dict[str, object]) -> list[str]:
    """The file names of the hits of a page."""
    hits = page["hits"]
    assert isinstance(hits, list)
    return [Path(hit["path"]).name for hit in hits]


def id_of(library: Library, name: str) -> int:
    """The id of the photo of this file name."""
    return next(photo.id for photo in library if Path(photo.path).name == name)
