"""What the words of a query mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch.errors import QueryError
from mmsearch.query.files import parse
from mmsearch.query.model import Example, Query, Words


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        (["a dog on a beach"], ["a dog on a beach"]),
        (["a", "dog", "on", "a", "beach"], ["a dog on a beach"]),
        (["dog", "on a beach"], ["dog", "on a beach"]),
        (["  dog "], ["dog"]),
        (["1/2"], ["1/2"]),
        (["a file named cat.jpg"], ["a file named cat.jpg"]),
    ],
)
def test_words(words: list[str], terms: list[str]) -> None:
    assert parse(words) == Query(tuple(Words(term) for term in terms))


def test_picture_files_are_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b"):
        (tmp_path / name).touch()
    first, second = Example(str(tmp_path / "a.jpg")), Example(str(tmp_path / "b"))
    assert parse(["a.jpg", "at", "night", "./b"]) == Query((first, Words("at night"), second))
    assert parse(["b"]) == Query((Words("b"),))  # a word, unless it is written as a path or named like a picture


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "is empty"),
        (["", " "], "is empty"),
        (["./none"], "./none: no such file"),
        (["none.jpg"], "none.jpg: no such file; to find pictures by this name: words:none.jpg"),
        (["~/"], "is a folder"),
    ],
)
def test_queries_without_sense(words: list[str], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse(words)
