"""What a recipe of a reranker refuses."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmsearch.cli.app import app
from mmsearch.errors import ConfigError
from mmsearch.rerank.card import RerankCard
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.training.reranker.recipe import RerankRecipe


def test_defaults_make_sense() -> None:
    RerankRecipe().check()


def test_defaults_are_those_of_the_reranker_that_ships() -> None:
    assert asdict(replace(RerankRecipe(), precision="bf16")) == RerankCard.read(SHIPPED).recipe["recipe"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"dev_queries": 0}, "dev_queries must be at least 1, not 0"),
        ({"group": 1}, "group must be at least 2: a caption needs another photo to be told from, not 1"),
        ({"batch": 7}, "batch must be at least 8, the size of a group, not 7"),
        ({"answers": 11}, "answers must be at least 12, not 11"),
        ({"caption_words": 4}, "caption_words must be at least 5, not 4"),
        ({"caption_least": 0}, "caption_least must be at least 1, not 0"),
        ({"lr": -1.0}, "lr must not be negative, not -1.0"),
        ({"near": -1}, "near must not be negative, not -1"),
        ({"ema": 1.0}, "ema must be at least 0 and below 1, not 1.0"),
        ({"masked_share": 1.0}, "masked_share must be at least 0 and below 1, not 1.0"),
        ({"warmup": 1.5}, "warmup must be between 0 and 1, not 1.5"),
        ({"clip": 0.0}, "clip must be above 0, not 0.0"),
        ({"match": 0.0, "pooled": 0.0}, "match or pooled must be above 0, and no objective below"),
        ({"answer": -0.5}, "match or pooled must be above 0, and no objective below"),
        ({"width": 30}, "width must be a multiple of 4, not 30"),
        ({"precision": "fp16"}, "precision must be auto, fp32 or bf16, not 'fp16'"),
        ({"attention": "magic"}, "attention must be one of bidirectional, co-attention, hierarchical, not 'magic'"),
        ({"fusion": "magic"}, "fusion must be one of concatenation, transform, gated, tensor, not 'magic'"),
    ],
)
def test_recipe_that_makes_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(RerankRecipe(), **changes).check()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--attention", "magic"), "attention must be one of bidirectional"),
        (("--fusion", "magic"), "fusion must be one of concatenation"),
        (("--set", "width=30"), "width must be a multiple of 4"),
        (("--steps", "0"), "steps must be at least 1"),
    ],
)
def test_command_takes_it_for_wrong_usage(option: tuple[str, str], message: str, tmp_path: Path) -> None:
    given = ["--captions", "pairs.tsv", "--images", "images", "--out", str(tmp_path / "out"), *option]
    done = CliRunner().invoke(app, ["train-reranker", *given])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
