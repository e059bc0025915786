"""The map to region tokens of the embedded model: the graph's projection does what was learned on stored grids."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import captions, draw, states, write_captions

from mmsearch.rerank.card import GRAPHS, RerankCard
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.training.shipped import rerank_embedded
from mmsearch.training.shipped.rerank_embedded import DIM, MID, SIDE, TOP, WIDTH


def pooled(levels: torch.Tensor) -> torch.Tensor:
    """(n, channels, side, side) -> (n, SIDE², channels): each region is the mean of the cells that it touches."""
    n, channels, side, _ = levels.shape
    cut = [(row * side // SIDE, -(-(row + 1) * side // SIDE)) for row in range(SIDE)]
    found = torch.empty(n, SIDE * SIDE, channels)
    for place, ((top, bottom), (left, right)) in enumerate(itertools.product(cut, cut)):
        found[:, place] = levels[:, :, top:bottom, left:right].mean(dim=(2, 3))
    return found


def test_projection_gives_the_tokens_that_were_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerank_embedded, "EPOCHS", 2)
    rng = np.random.default_rng(0)
    photos, channels = 8, TOP + MID + WIDTH
    grids = rng.standard_normal((photos, 2, SIDE**2, channels))
    grids = 3 * grids + np.linspace(-2, 2, channels)  # the channels have means and spreads of their own
    grids[..., TOP : TOP + MID] *= 10
    stored = np.concatenate([grids.reshape(photos, 2, -1), np.zeros((photos, 2, 5))], axis=2).astype(np.float16)
    lines = states([5 + row % 3 for row in range(photos)], 384, rng)
    learner = rerank_embedded.token_map(stored, lines, [np.array([row]) for row in range(photos)])
    plain = stored[:, 0, :-5].astype(np.float32).reshape(-1, channels)
    assert learner.mean.numpy() == pytest.approx(plain.mean(axis=0), abs=1e-3)
    for start, end in ((0, TOP), (TOP, TOP + MID), (TOP + MID, channels)):  # one scale a level
        wanted_spread = float(plain[:, start:end].std())
        assert learner.spread[start:end].numpy() == pytest.approx(np.full(end - start, wanted_spread), rel=1e-3)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        levels = [torch.randn(2, TOP, 9, 9), 10 * torch.randn(2, MID, 17, 17), torch.randn(2, WIDTH, 7, 7)]
    made = rerank_embedded.projection(learner)
    with torch.no_grad():
        wanted = learner.tokens(torch.cat([pooled(level) for level in levels], dim=2))
        found = made(levels)
        without = made([*levels[:2], torch.zeros_like(levels[2])])
    assert found.shape == (2, SIDE**2, DIM)
    assert float(wanted.abs().mean()) > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(found, without, atol=1e-2)  # the second branch is heard


SMALL = (
    "--steps=1", "--width=32", "--blocks=1", "--views=2", "--batch=8", "--group=4", "--groups=2",
    "--questions-a-step=4", "--captions=4", "--masked=4", "--dev-queries=6", "--keep-regions",
    "--answers=14", "--caption-words=12", "--fusion=tensor",  # graphs as those of test_train_reranker_command.py
)  # fmt: skip


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Small data, and a folder for the reranker that has the text layers."""
    for folder in ("data", "asked"):
        draw(tmp_path / folder / "images")
    write_captions(tmp_path / "data" / "captions.tsv")
    names = sorted(captions())
    for split, own in (("train", names[4:]), ("dev", names[:4])):
        (tmp_path / "data" / f"{split}.txt").write_text("\n".join(own), "utf-8")
    rows = [f"{name}\twhat is the thing?\t{name.split('_')[1][:-4]}\n" for name in names[:6]]
    (tmp_path / "asked" / "qa.tsv").write_text("".join(rows), "utf-8")
    (tmp_path / "out").mkdir()
    shutil.copy(SHIPPED / "words.onnx", tmp_path / "out")
    places = {"data": "data", "questions": "asked", "out": "out", "work": "work"}
    return [*(f"--{option}={tmp_path / name}" for option, name in places.items()), *SMALL]


@pytest.mark.slow
def test_stopped_while_files_are_copied_it_copies_them_again(command: list[str], tmp_path: Path) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    (work / "run" / "cache").mkdir(parents=True)  # killed before the run said what it is
    (out / "caption.onnx").mkdir()  # where a file is to be written
    with pytest.raises(IsADirectoryError):
        rerank_embedded.main(command)
    assert (out / "match.onnx").exists()
    assert not (out / "reranker.json").exists()
    (out / "caption.onnx").rmdir()
    made = {name: (work / "run" / name).read_bytes() for name in GRAPHS}
    card = json.loads((work / "run" / "reranker.json").read_text("utf-8"))
    shutil.rmtree(tmp_path / "data")  # nothing is read or trained any more
    shutil.rmtree(tmp_path / "asked")
    (tmp_path / "work.gone" / "run").mkdir(parents=True)  # an older one, killed while all was removed
    rerank_embedded.main(command)
    assert {name: (out / name).read_bytes() for name in made} == made
    assert json.loads((out / "reranker.json").read_text("utf-8")) == card
    assert RerankCard.read(out).name == "embedded"
    assert sorted(os.listdir(tmp_path)) == ["out"]
