"""Which reranker goes with an encoder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.rerank.resolve import SHIPPED, Reading, find, for_encoder, load, reading


def test_auto_takes_the_one_that_ships_where_it_fits(
    small_reranker: Path, region_encoder: OnnxEncoder, tmp_path: Path
) -> None:
    card = region_encoder.card
    assert find(card, "auto", small_reranker) == small_reranker
    assert find(replace(card, name="another name"), "auto", small_reranker) == small_reranker
    assert card.regions is not None
    others = [
        replace(card, regions=None),
        replace(card, weights="other"),
        replace(card, regions=replace(card.regions, projection="other")),
    ]
    assert [find(other, "auto", small_reranker) for other in others] == [None] * 3
    assert find(card, "auto", tmp_path) is None  # none ships
    assert find(card) is None  # the one that does ship is not for this model


def test_the_one_that_ships_is_for_the_embedded_model(encoder: OnnxEncoder) -> None:
    assert find(encoder.card) == SHIPPED
    assert RerankCard.read(SHIPPED).regions == region_key(encoder.card)


def test_none_means_none(small_reranker: Path, region_encoder: OnnxEncoder) -> None:
    assert find(region_encoder.card, "none", small_reranker) is None
    with pytest.raises(ModelError, match=r"^the setting reranker is none$"):
        for_encoder(region_encoder, "none")


def test_a_folder_by_name(
    small_reranker: Path, region_encoder: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(region_encoder.card, str(small_reranker)) == small_reranker
    monkeypatch.chdir(small_reranker.parent)
    assert find(region_encoder.card, small_reranker.name) == small_reranker
    monkeypatch.setenv("HOME", str(small_reranker.parent))
    assert find(region_encoder.card, f"~/{small_reranker.name}") == small_reranker
    reranker = for_encoder(region_encoder, str(small_reranker))
    assert (reranker.folder, reranker.encoder) == (small_reranker, region_encoder)
    with pytest.raises(
        ModelError,
        match=r"is no reranker's folder: reranker\.json, words\.onnx, match\.onnx, caption\.onnx missing; set reranker",
    ):
        find(region_encoder.card, str(tmp_path))
    with pytest.raises(ModelError, match=r"^there is no folder .*nowhere, which should hold a reranker; set reranker "):
        find(region_encoder.card, str(tmp_path / "nowhere"))


def test_a_folder_for_other_regions_is_refused(
    small_reranker: Path, region_encoder: OnnxEncoder, encoder: OnnxEncoder
) -> None:
    other = replace(region_encoder.card, name="my-model", weights="other")
    for card in (other, replace(other, regions=None)):
        with pytest.raises(
            ModelError, match=r"other region tokens than my-model gives; set reranker to auto, or train one"
        ):
            find(card, str(small_reranker))
    with pytest.raises(ModelError, match="other region tokens than embedded gives"):
        for_encoder(encoder, str(small_reranker))


def test_one_that_does_not_fit_reads_the_tokens_of_the_embedded_model(
    region_encoder: OnnxEncoder, encoder: OnnxEncoder, small_reranker: Path
) -> None:
    assert reading(encoder) == Reading(encoder, SHIPPED)  # nothing beside it
    assert reading(region_encoder, towers=lambda: encoder) == Reading(encoder, SHIPPED)
    reranker = for_encoder(region_encoder)
    assert reranker.folder == SHIPPED
    assert reranker.encoder is not None
    assert reranker.encoder.card == encoder.card
    assert reading(region_encoder, str(small_reranker)) == Reading(region_encoder, small_reranker)
    assert reading(region_encoder, str(SHIPPED), lambda: encoder) == Reading(encoder, SHIPPED)
    assert reading(region_encoder, "none") == Reading(region_encoder, None)


def test_one_that_reads_neither_is_none(region_encoder: OnnxEncoder) -> None:
    assert reading(region_encoder, towers=lambda: region_encoder) == Reading(region_encoder, None)
    with pytest.raises(ModelError, match="has no reranker; train one for it"):
        load(Reading(region_encoder, None))
    with pytest.raises(ModelError, match="was trained on other region tokens than"):
        reading(region_encoder, str(SHIPPED), lambda: region_encoder)


def test_a_damaged_one_that_ships_is_an_error(
    small_reranker: Path, region_encoder: OnnxEncoder, tmp_path: Path
) -> None:
    shipped = shutil.copytree(small_reranker, tmp_path / "shipped")
    (shipped / "match.onnx").unlink()
    with pytest.raises(ModelError, match=r"match\.onnx missing; install mmsearch again$"):
        find(region_encoder.card, "auto", shipped)
