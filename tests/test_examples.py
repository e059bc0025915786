"""The examples in the docstrings of what people use most."""

from __future__ import annotations

import doctest
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmsearch
from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

MOST_USED = {
    "Hit",
    "Library.ask",
    "Library.caption",
    "Library.duplicates",
    "Library.explain",
    "Library.export",
    "Library.index",
    "Library.search",
    "Library.status",
    "Library.tag",
    "open_library",
    "parse",
}


def with_examples() -> dict[str, doctest.DocTest]:
    """Everything public whose docstring has examples, by its name."""
    finder = doctest.DocTestFinder(exclude_empty=True, recurse=True)
    found: dict[str, doctest.DocTest] = {}
    for name in mmsearch.__all__:
        value = getattr(mmsearch, name)
        if callable(value):
            parts = inspect.getmro(value)[:-1] if inspect.isclass(value) and value.__module__ else [value]
            own = [part for part in parts if getattr(part, "__module__", "").startswith("mmsearch.")]
            for part in reversed(own):  # what a class has of another one is its own, too
                found |= {test.name: test for test in finder.find(part, name, globs={}) if test.examples}
    return found


@pytest.fixture
def opened(
    photos: Path, tmp_path: Path, encoder: OnnxEncoder, tag_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Library]:
    """A library of ``photos``, in the folder that the examples run in."""
    monkeypatch.chdir(photos.parent)
    settings = Settings(library=tmp_path / "library", cache=tag_cache, device="cpu")
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        library.index(photos)
        yield library


def test_what_people_use_most_has_examples() -> None:
    assert set(with_examples()) >= MOST_USED


@pytest.mark.parametrize("name", sorted(with_examples()))
def test_example(name: str, opened: Library) -> None:
    test = with_examples()[name]
    test.globs = {"mmsearch": mmsearch, "library": opened, "os": os, "Path": Path}
    said: list[str] = []
    outcome = doctest.DocTestRunner().run(test, out=said.append)
    assert outcome.failed == 0, "".join(said)
    assert outcome.attempted
