"""What a run leaves for people: the plot, the sentences about it, the card."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmsearch.evaluation.metrics import Gain
from mmsearch.training.contrastive import summary
from mmsearch.training.contrastive.companions import Companions
from mmsearch.training.contrastive.recipe import Recipe

RISEN: Gain = {"points": 1.25, "interval": [0.5, 2.0]}
PERHAPS: Gain = {"points": 1.25, "interval": [-0.5, 3.0]}


def events(epochs: int, steps: int, dev: bool = True) -> list[dict[str, Any]]:
    """The log of a run of so many epochs of so many steps."""
    found: list[dict[str, Any]] = []
    for epoch in range(epochs + 1):
        found += [
            {"event": "step", "step": (epoch - 1) * steps + step, "loss": 2.0 - 0.01 * step}
            for step in range(1, steps + 1)
            if epoch
        ]
        figures = {"text_to_image": {"R@1": 20 + epoch / 5, "R@5": 50 + epoch / 5, "R@10": 60.0}} if dev else None
        found.append({"event": "epoch", "epoch": epoch, "dev": figures})
    return found


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (5, 2), (50, 20)])
def test_plot_shows_something_for_runs_of_any_length(epochs: int, steps: int) -> None:
    drawn = summary.figure(events(epochs, steps), kept=1)
    drawn.canvas.draw()
    left, right = drawn.axes
    assert [axes.get_xlabel() for axes in drawn.axes] == ["step", "epoch (0: before training)"]
    assert all(axes.get_ylabel() for axes in drawn.axes)
    for axes, last in ((left, epochs * steps), (right, epochs)):
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert len(ticks) >= 2
        assert all(float(tick).is_integer() for tick in ticks)
        assert high >= last
    (loss,) = left.lines
    assert np.shape(loss.get_xydata()) == (epochs * steps, 2)
    assert loss.get_marker() != "None" or epochs * steps > 30  # a line of one step is not seen
    bottom, top = right.get_ylim()
    assert (bottom > 0, top < 100) == (True, True)  # what was gained is seen
    assert "kept: epoch 1" in [line.get_label() for line in right.lines]


def test_plot_without_dev_photos_says_so() -> None:
    _, right = summary.figure(events(2, 3, dev=False), kept=2).axes
    assert [text.get_text() for text in right.texts] == ["no dev photos:\nthe last epoch is kept"]


def test_gain_that_may_be_chance_is_called_so() -> None:
    def said(epoch: int, gain: Gain) -> list[str]:
        return summary.verdict(epoch, {"text_to_image": {"R@1": gain}})

    assert said(2, PERHAPS) == [
        "the gain in R@1 may be chance: its 95 % interval includes 0; more dev photos would tell"
    ]
    assert said(2, RISEN) == [
        "the gain in R@1 is more than chance on these dev photos: its 95 % interval is +0.50 to +2.00"
    ]
    assert said(0, RISEN) == ["no epoch found more on dev than the model did before: it was kept as it was"]
    assert summary.verdict(2, None) == []


def test_what_goes_with_the_weights_is_said() -> None:
    fitted = Companions("fitted", 1200, 100, "kept", reranker=True, lost=False)
    assert summary.beside(fitted, "m") == [
        "relevance: fitted on 1,200 dev photos",
        "reranking, answers and captions: by the reranker of the base model, whose region tokens are kept",
    ]
    moved = Companions("moved", 1, 300, "new", reranker=False, lost=True)
    assert summary.beside(moved, "m") == [
        "relevance: that of the base model, moved to the scores of this one: to fit it anew 300 dev photos are needed, "
        "and the run had 1",
        "reranking, answers and captions: lost, because the region tokens are others now; train a reranker with: "
        "mmsearch train-reranker --model local-dir:m --captions FILE.tsv --images DIR --out DIR",
    ]
    assert summary.beside(Companions("none", 9, 100, "new", reranker=False, lost=False), "m") == []
    failed = Companions("none", 9, 100, "kept", reranker=False, lost=False, reason="x.png cannot be read")
    assert summary.beside(failed, "m") == ["relevance: lost: x.png cannot be read"]
    wordless = Companions("moved", 900, 300, "kept", reranker=False, lost=False, reason="too few things")
    assert summary.beside(wordless, "m") == [
        "relevance: that of the base model, moved to the scores of this one: too few things"
    ]


def test_card_has_gains_with_intervals() -> None:
    figures = {name: {"R@1": 20.0, "R@5": 40.0, "R@10": 50.0, "MRR": 30.0} for _, name in summary.DIRECTIONS}
    facts = {
        "base": "embedded", "version": "1", "photos": 9, "captions": 45, "dev_photos": 3, "dev_captions": 15,
        "skipped": 0, "epoch": 1, "epochs_run": 2, "steps": 4, "before": figures, "after": figures,
        "gain": {name: {"R@1": PERHAPS, "R@5": RISEN, "R@10": RISEN} for _, name in summary.DIRECTIONS},
    }  # fmt: skip
    card = summary.model_card(facts, Recipe(), Companions("fitted", 300, 100, "kept", reranker=True, lost=False))
    for line in (
        "| text to image | 20.00 -> 20.00 | 40.00 -> 40.00 | 50.00 -> 50.00 | 30.00 -> 30.00 |",
        "| gain in points (95 % interval) | +1.25 (-0.50 to +3.00) |" + 2 * " +1.25 (+0.50 to +2.00) |" + " |",
        "The gain in R@1 may be chance: its 95 % interval includes 0; more dev photos would tell.",
        "- relevance: fitted on 300 dev photos",
    ):
        assert line in card.splitlines()
