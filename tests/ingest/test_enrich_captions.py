"""Captions are stored once a content, from stored region tokens, and made anew for another reranker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.rerank.card import RerankCard
from mmsearch.rerank.reranker import Reranker
from mmsearch.types import Progress


@pytest.fixture
def captioned(settings: Settings, region_encoder: OnnxEncoder, small_reranker: Path) -> Iterator[Library]:
    """With four pictures a batch."""
    settings = replace(settings, reranker=str(small_reranker))
    with open_library(settings.library, settings=settings, encoder=region_encoder) as library:
        yield library


def captions(library: Library) -> dict[str, str | None]:
    hits = library.search("a cat", 100, rerank=False)
    return {hit.path: hit.photo.caption for hit in hits}


def expected(library: Library, encoder: OnnxEncoder, reranker: Path) -> dict[str, str | None]:
    """Each file by itself, from its stored tokens."""
    stored, card = library.store.model(), encoder.card.regions
    assert stored is not None
    assert card is not None
    judge = Reranker(reranker)
    found: dict[str, str | None] = {}
    for number in library.store.searchable(stored):
        tokens, there = library.store.regions(number[None], stored, card)
        said = judge.caption(tokens)[0][0].text if there[0] else None
        found |= {photo.path: said for photo in library.store.photos([int(number)])[int(number)]}
    return found


def test_captions_are_written_once(
    captioned: Library, region_encoder: OnnxEncoder, small_reranker: Path, photos: Path
) -> None:
    shutil.copy(photos / "cat.png", photos / "trips" / "copy.png")
    assert captioned.index(photos).captions == 0
    assert set(captions(captioned).values()) == {None}
    generation = captioned.status().generation
    seen: list[Progress] = []
    report = captioned.index(captions=True, progress=seen.append)
    assert (report.captions, report.encoded, report.unchanged) == (5, 0, 6)  # contents, not files
    assert [(step.done, step.total, step.step) for step in seen] == [(n, 5, "captions") for n in range(1, 6)]
    assert {step.path for step in seen} <= set(captions(captioned))
    assert captions(captioned) == expected(captioned, region_encoder, small_reranker)
    assert None not in captions(captioned).values()
    status = captioned.status()
    assert (status.captions, status.generation) == (6, generation)  # what can be found did not change
    assert captioned.index(captions=True).captions == 0


def test_captions_of_new_pictures_in_the_same_run(captioned: Library, photos: Path) -> None:
    report = captioned.index(photos / "trips", captions=True)
    assert (report.added, report.captions) == (2, 2)
    report = captioned.index(photos, captions=True)
    assert (report.added, report.captions) == (3, 3)


def test_an_interrupted_run_goes_on(captioned: Library, photos: Path) -> None:
    captioned.index(photos)

    def interrupt(step: Progress) -> None:
        if step.done == 4:  # the first batch is stored
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        captioned.index(captions=True, progress=interrupt)
    assert captioned.status().captions == 4
    assert captioned.index(captions=True).captions == 1
    assert captioned.status().captions == 5


def test_another_reranker_writes_them_anew(
    captioned: Library, region_encoder: OnnxEncoder, small_reranker: Path, photos: Path, tmp_path: Path
) -> None:
    """The same weights, but they stand for other words."""
    captioned.index(photos, captions=True)
    before = captions(captioned)
    other = tmp_path / "other"
    shutil.copytree(small_reranker, other)
    card = RerankCard.read(other)
    words = tuple(f"{word}x" if number > 3 else word for number, word in enumerate(card.caption_words))
    (other / "reranker.json").write_text(replace(card, caption_words=words).to_json(), "utf-8")
    settings = replace(captioned.settings, reranker=str(other))
    with open_library(settings.library, settings=settings, encoder=region_encoder) as library:
        assert library.index(captions=True).captions == 5
        wanted = {path: " ".join(f"{word}x" for word in (text or "").split()) for path, text in before.items()}
        assert captions(library) == wanted
        assert library.status().captions == 5


def test_pictures_without_tokens_get_no_caption(captioned: Library, photos: Path, region_encoder: OnnxEncoder) -> None:
    settings = replace(captioned.settings, regions=False)
    with open_library(settings.library, settings=settings, encoder=region_encoder) as library:
        assert library.index(photos, captions=True).captions == 0
    assert captioned.index(captions=True).captions == 5
