"""What a resumed run must have again: every change is seen, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmsearch.errors import TrainingError
from mmsearch.training.common import unchanged

ROWS = [("a.png", "a dog"), ("a.png", "a cat"), ("b.png", "a dog")]


@pytest.mark.parametrize(
    "other",
    [
        [("a.png", "a dog"), ("a.png", "a bat"), ("b.png", "a dog")],
        [("a.png", "a cat"), ("a.png", "a dog"), ("b.png", "a dog")],
        [("a.png", "a dog"), ("b.png", "a cat"), ("b.png", "a dog")],
    ],
    ids=["another word", "another order", "of another photo"],
)
def test_as_many_other_texts_have_another_digest(other: list[tuple[str, str]]) -> None:
    before, now = unchanged.texts(ROWS), unchanged.texts(other)
    assert unchanged.texts(iter(ROWS)) == before
    assert (before["count"], now["count"]) == (3, 3)
    assert before["digest"] != now["digest"]


def test_photos_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    names = ["a.bmp", "b.bmp"]
    for name in names:
        Image.new("RGB", (8, 8), "red").save(tmp_path / name)
    before = unchanged.photos(tmp_path, names)
    assert before["count"] == 2
    assert unchanged.photos(tmp_path, names) == before
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "b.bmp")  # the same size in bytes
    found = [before, unchanged.photos(tmp_path, names)]
    (tmp_path / "b.bmp").unlink()
    found.append(unchanged.photos(tmp_path, names))
    assert len({one["digest"] for one in found}) == 3
    assert {one["count"] for one in found} == {2}


def test_what_changed_is_named(tmp_path: Path) -> None:
    started: dict[str, Any] = {
        "base": "one", "captions": {"count": 1200, "digest": "a"}, "answers": {"count": 3, "digest": "b"},
        "reranker_recipe": {"lr": 0.1, "steps": 3, "seed": 0}, "finished": False,
    }  # fmt: skip
    unchanged.check(tmp_path, started, {"base": "one", "captions": {"count": 1200, "digest": "a"}})
    now = {
        "base": "two", "captions": {"count": 1201, "digest": "c"}, "answers": {"count": 3, "digest": "d"},
        "reranker_recipe": {"lr": 0.2, "steps": 3, "seed": 1}, "photos": {"count": 1, "digest": "e"},
    }  # fmt: skip
    with pytest.raises(TrainingError) as raised:
        unchanged.check(tmp_path, started, now)
    assert str(raised.value) == (
        f"the run in {tmp_path} cannot be resumed: since it was started these changed: the model of the first stage, "
        "captions to learn from (1,200 then, 1,201 now), answers to them (3 as before, but not the same), the recipe "
        "(lr, seed), photos to learn from; bring back what it had, or start a new run in another folder"
    )
