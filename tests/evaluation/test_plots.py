"""Figures of ``eval``: their curves are the plain arithmetic of ranks, and a figure is a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from samples import CLI

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import MMSearchError, SourceError
from mmsearch.evaluation import answerable, plots
from mmsearch.evaluation.plots import Bin, Curves
from mmsearch.search.calibration import Calibration

RANKS = [1, 3, 3, 120]


@pytest.fixture
def curves() -> Curves:
    made = Curves()
    for number, rank in enumerate(RANKS):
        made.add({"direction": "text_to_image", "model": "a", "query": "x", "right": [f"{number}.jpg"], "rank": rank})
        both = {"rank": rank, "corrected_rank": 1}
        made.add({"direction": "image_to_text", "model": "a", "query": f"{number}.jpg", "right": ["x"], **both})
    made.add({"direction": "zero_shot", "model": "a", "query": "0.jpg", "right": ["cat"], "rank": 1})
    return made


def test_recall_at_each_k(curves: Curves) -> None:
    k, recall, interval = curves.recall("a", "text_to_image")
    assert (k[0], k[-1]) == (1, 100)
    assert recall.tolist() == [100 * sum(rank <= one for rank in RANKS) / len(RANKS) for one in k]
    assert (interval[0] <= recall).all()
    assert (interval[1] >= recall).all()
    assert curves.models() == ["a", "a, corrected"]
    assert curves.recall("a, corrected", "image_to_text")[1].tolist() == [100.0]


def test_figure_has_a_line_a_model_and_the_diagram(curves: Curves) -> None:
    for number, name in ((0, "text_to_image"), (1, "text_to_image")):
        curves.add({"direction": name, "model": "b", "query": "x", "right": [f"{number}"], "rank": 1})
        curves.add({"direction": "image_to_text", "model": "b", "query": f"{number}", "right": ["x"], "rank": 2})
    del curves._ranks["a, corrected", "image_to_text"]
    drawn = plots.figure(curves, {"a": [Bin(5.0, 10.0, 4), Bin(95.0, 90.0, 8)], "b": []})
    text, image, reliability = drawn.axes
    assert [line.get_label() for line in text.get_lines()] == ["a", "b"]
    assert np.asarray(image.get_lines()[0].get_ydata()).tolist() == curves.recall("a", "image_to_text")[1].tolist()
    assert np.asarray(reliability.get_lines()[1].get_xydata()).tolist() == [[5.0, 10.0], [95.0, 90.0]]
    assert len(plots.figure(curves, {}).axes) == 2


def test_reliability_is_the_share_of_right_ones(encoder: OnnxEncoder) -> None:
    things = ["dog", "cat", "horse", "car", "boat", "train", "tree", "table", "guitar", "bicycle", "camera", "bridge"]
    captions = [[f"a {colour} {thing}"] for thing in things for colour in ("red", "black", "small")]
    vectors = encoder.encode_texts([own[0] for own in captions])
    bins = plots.reliability(encoder, captions, vectors)
    scores = answerable.scored(encoder, None, captions, (vectors, np.empty((len(captions), 0, 0), np.float32)))
    rows = np.ones(len(scores["short"]), np.bool_)
    calibration = Calibration.of(encoder)
    assert calibration is not None
    shares = answerable.own_shares(scores, rows, calibration.first)
    right = np.repeat([True, False], len(rows))
    assert sum(one.queries for one in bins) == len(shares)
    assert sum(one.queries * one.right for one in bins) / len(shares) == pytest.approx(50, abs=0.1)
    top = shares >= 0.9
    assert bins[-1] == Bin(round(100 * shares[top].mean(), 1), round(100 * right[top].mean(), 1), int(top.sum()))
    assert plots.reliability(encoder, captions[:3], vectors[:3]) == []


def test_command_draws(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    lines = {"cat.png": "a cat", "grass.png": "grass", "cameraman.png": "a man", "trips/rocket.jpg": "a rocket"}
    (tmp_path / "captions.tsv").write_text("".join(f"{name}\t{text}\n" for name, text in lines.items()))
    command = ["eval", "--captions", "captions.tsv", "--images", photos, "--model", "embedded"]
    done = mmsearch(*command, "--plot", "eval.svg", "--dump", "ranks.jsonl", "--json")
    assert json.loads(done.stdout)["reliability"] == []
    assert "drawn: eval.svg" in done.stderr
    assert "reliability was left out" in done.stderr
    assert b"<svg" in (tmp_path / "eval.svg").read_bytes()[:1000]
    assert len((tmp_path / "ranks.jsonl").read_text().splitlines()) == 8
    assert "or replace it with --force" in mmsearch(*command, "--plot", "eval.svg", check=1).stderr
    assert "reliability" not in json.loads(mmsearch(*command, "--json").stdout)
    mmsearch(*command, "--plot", "eval.svg", "--force")
    assert "a figure ends in .png, .svg or .pdf" in mmsearch(*command, "--plot", "eval.txt", check=1).stderr
    assert "there is no folder" in mmsearch(*command, "--plot", "none/eval.png", check=1).stderr
    assert (
        "--plot needs --captions"
        in mmsearch("eval", "--images", photos, "--zero-shot", "x", "--plot", "a.png", check=2).stderr
    )
    assert "--force needs --dump or --plot" in mmsearch(*command, "--force", check=2).stderr


def test_matplotlib_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        MMSearchError, match=r"a figure needs matplotlib; run: pip install 'mmsearch\[plots\]'"
    ) as caught:
        plots.check(tmp_path / "eval.png")
    assert caught.value.code == "needs-plots"
    (tmp_path / "there.png").mkdir()
    with pytest.raises(SourceError, match="exists already"):
        plots.check(tmp_path / "there.png", force=True)
