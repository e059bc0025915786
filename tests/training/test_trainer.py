"""The loop on a handful of photos: it learns, it goes on to the same bits, it stops, it says what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import KeptTrainee, small_trainee
from torch import Tensor

from mmsearch.errors import ConfigError, TrainingError
from mmsearch.training.common import report
from mmsearch.training.common.pairs import Pairs, split
from mmsearch.training.common.progress import TrainProgress
from mmsearch.training.common.session import RunOptions
from mmsearch.training.contrastive.objective import ExtraTerm, TermInput
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainee import Trainee
from mmsearch.training.contrastive.trainer import Outcome, train

QUICK = Recipe(epochs=3, batch=4, views=2, image_layers=1, text_layers=1, lr=3e-3, text_lr=1e-3)
EVERYTHING = replace(
    QUICK, captions_per_photo=2, micro_batch=3, sigmoid=0.1, hard=0.1, masked_words=0.3, text_text=0.2, mined=0.5,
    mined_group=2,
)  # fmt: skip


class Killed(Exception):
    """Raised in the middle of a run, in place of a kill."""


def run(
    pairs: Pairs,
    out: Path,
    recipe: Recipe,
    dev: Pairs | None = None,
    stop: int = 0,
    terms: Sequence[ExtraTerm] = (),
    **more: object,
) -> Outcome:
    """A run with the small model; ``stop`` ends it abruptly after that step."""

    def progress(step: TrainProgress) -> None:
        if stop and step.phase == "training" and step.done == stop:
            raise Killed

    trainee = small_trainee(recipe.image_layers, recipe.text_layers, kind=KeptTrainee)
    options = RunOptions(progress=progress, **more)  # type: ignore[arg-type]
    return train(trainee, pairs, pairs if dev is None else dev, recipe, out, terms, options)


def weights(out: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(out / "weights.pt")
    return found


def test_a_few_photos_are_learned_by_heart(pairs: Pairs, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=30, batch=8, patience=0, augment=False, ema=0.8, feature_dropout=0, smoothing=0)
    outcome = run(pairs, tmp_path / "out", recipe)
    assert outcome.before is not None
    assert outcome.after is not None
    assert outcome.before["text_to_image"]["R@1"] <= 50
    assert outcome.after["text_to_image"]["R@1"] >= 90
    events = report.Log(tmp_path / "out" / "log.jsonl", 10**9).read()
    epochs = [event for event in events if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == list(range(31))
    assert epochs[outcome.epoch]["dev"] == outcome.after
    steps = [event for event in events if event["event"] == "step"]
    assert set(steps[0]) == {"event", "step", "epoch", "loss", "lr", "pairs_per_second"}
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    with Image.open(tmp_path / "out" / "training.png") as plot:
        assert plot.size == (1080, 432)
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8")
    found = outcome.before["text_to_image"]["R@1"], outcome.after["text_to_image"]["R@1"]
    for words in (
        "8 photos with 16 captions",
        "| text to image | {:.2f} -> {:.2f} |".format(*found),
        "| epochs | 30 |",
    ):
        assert words in card
    assert "As the base model and your pictures" in card
    assert not (tmp_path / "out" / "cache").exists()
    assert sorted(file.name for file in (tmp_path / "out" / "run").iterdir()) == ["run.json"]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [QUICK, EVERYTHING, replace(QUICK, image_layers=-1, text_layers=-1, mined=1.0)])
def test_run_that_was_cut_off_ends_with_the_same_bits(pairs: Pairs, tmp_path: Path, recipe: Recipe) -> None:
    recipe = replace(recipe, epochs=2)
    whole = run(pairs, tmp_path / "whole", recipe)
    cut = tmp_path / "cut"
    with pytest.raises(Killed):
        run(pairs, cut, recipe, stop=1, save_every=0.0)  # before anything but the first checkpoint
    with pytest.raises(Killed):
        run(pairs, cut, recipe, stop=whole.steps // 2 + 1, resume=True, save_every=0.0)
    torch.rand(3)  # whatever else draws numbers
    resumed = run(pairs, cut, recipe, resume=True)
    assert replace(resumed, folder=whole.folder) == whole
    wanted, found = weights(tmp_path / "whole"), weights(cut)
    assert wanted.keys() == found.keys()
    assert [name for name, weight in wanted.items() if not torch.equal(weight, found[name])] == []
    logs = [
        [{key: value for key, value in json.loads(line).items() if key != "pairs_per_second"} for line in text]
        for text in ((folder / "log.jsonl").read_text().splitlines() for folder in (tmp_path / "whole", cut))
    ]
    assert logs[0] == logs[1]


def test_other_seed_gives_other_weights(pairs: Pairs, tmp_path: Path) -> None:
    for seed in (0, 1):
        run(pairs, tmp_path / str(seed), replace(QUICK, epochs=1, seed=seed), split(pairs, 0.0)[1])
    names = weights(tmp_path / "0")
    assert any(not torch.equal(weight, weights(tmp_path / "1")[name]) for name, weight in names.items())


def test_gain_is_that_of_each_caption_before_and_after(pairs: Pairs, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=12, batch=8, patience=0, augment=False, ema=0.8, feature_dropout=0, smoothing=0)
    with pytest.raises(Killed):
        run(pairs, tmp_path / "out", recipe, stop=13, save_every=0.0)
    outcome = run(pairs, tmp_path / "out", recipe, resume=True)  # the ranks of the start are in the checkpoint
    assert outcome.epoch > 0
    assert outcome.before is not None
    assert outcome.after is not None
    assert outcome.gain is not None
    for direction, figures in outcome.after.items():
        assert set(outcome.gain[direction]) == {"R@1", "R@5", "R@10"}
        for name, one in outcome.gain[direction].items():
            assert one["points"] == pytest.approx(figures[name] - outcome.before[direction][name], abs=0.02)
            low, high = one["interval"]
            assert low <= one["points"] <= high
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8")
    assert "| gain in points (95 % interval) | {:+.2f} (".format(outcome.gain["text_to_image"]["R@1"]["points"]) in card


def test_caller_keeps_its_random_numbers(pairs: Pairs, tmp_path: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    run(pairs, tmp_path / "out", replace(QUICK, epochs=1))
    assert torch.equal(torch.rand(4), wanted)


def test_only_what_the_recipe_names_is_trained(pairs: Pairs, tmp_path: Path) -> None:
    run(pairs, tmp_path / "out", replace(QUICK, ema=0.0, epochs=1), split(pairs, 0.0)[1])
    fresh = {name: p.detach() for name, p in small_trainee(1, 1).named_parameters()}
    changed = {name for name, weight in weights(tmp_path / "out").items() if not torch.equal(weight, fresh[name])}
    parts = {".".join(name.split(".")[:4]) if "blocks" in name else ".".join(name.split(".")[:3]) for name in changed}
    assert {part for part in parts if "blocks" in part} == {"images.backbone.blocks.4"}
    assert {part for part in parts if "layers" in part} == {"texts.layers.1"}


def test_it_stops_when_dev_gets_no_better(pairs: Pairs, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=50, patience=2, lr=0.0, image_lr=0.0, text_lr=0.0)
    outcome = run(pairs, tmp_path / "out", recipe)
    assert (outcome.epoch, outcome.epochs_run) == (0, 2)  # the base model was best
    assert outcome.before == outcome.after


def test_without_dev_photos_the_last_average_is_kept(pairs: Pairs, tmp_path: Path) -> None:
    train_pairs, none = split(pairs, 0.0)
    outcome = run(train_pairs, tmp_path / "out", QUICK, none)
    assert (outcome.epoch, outcome.before, outcome.after) == (3, None, None)
    assert "None: the run had no dev photos." in (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8")


def test_extra_term_is_added_and_sees_the_batch(pairs: Pairs, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def term(trainee: Trainee, rng: np.random.Generator, scale: Tensor, batch: TermInput) -> Tensor:
        seen.extend(map(tuple, (batch.image_states.shape, batch.image_vectors.shape, batch.text_vectors.shape)))
        assert not batch.image_states.requires_grad
        assert batch.image_vectors.requires_grad
        pooled = trainee.image_pool(batch.image_states)
        return 1000 + rng.random() * pooled.sum() + scale * (batch.image_vectors * batch.text_vectors[:, 0]).sum()

    for micro in (0, 3):
        recipe = replace(QUICK, epochs=1, micro_batch=micro, captions_per_photo=2)
        run(pairs, tmp_path / str(micro), recipe, terms=[term])
        assert seen[:3] == [(4, 4, 256), (4, 128), (4, 2, 128)]
        step = json.loads((tmp_path / str(micro) / "log.jsonl").read_text().splitlines()[1])
        assert step["extra_0"] > 500
        assert step["loss"] == pytest.approx(step["infonce"] + step["extra_0"], abs=1e-3)
        seen.clear()


def test_folder_that_is_taken(pairs: Pairs, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", replace(QUICK, epochs=1)
    with pytest.raises(TrainingError, match="holds no run that could be resumed"):
        run(pairs, out, recipe, resume=True)
    with pytest.raises(Killed):
        run(pairs, out, recipe, stop=1)
    with pytest.raises(TrainingError, match="holds a run already"):
        run(pairs, out, recipe)
    with pytest.raises(TrainingError, match=r"the captions, the recipe changed since it was started"):
        run(split(pairs, 0.2)[0], out, replace(recipe, lr=1.0), pairs, resume=True)
    run(pairs, out, recipe, resume=True)
    with pytest.raises(TrainingError, match="is finished"):
        run(pairs, out, recipe, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    with pytest.raises(TrainingError, match="exists and is no training run"):
        run(pairs, tmp_path / "other", recipe)


def test_loss_that_is_no_number(pairs: Pairs, tmp_path: Path) -> None:
    def term(trainee: Trainee, rng: np.random.Generator, scale: Tensor, batch: TermInput) -> Tensor:
        return scale * math.nan

    with pytest.raises(TrainingError, match="the loss is no number after 0 steps"):
        run(pairs, tmp_path / "out", QUICK, terms=[term])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"infonce": 0.0}, "one of infonce, sigmoid and hard"),
        ({"text_text": 1.0}, "captions_per_photo to 2"),
        ({"ema": 1.0}, "ema must be at least 0 and below 1"),
        ({"image_layers": -2}, "count layers"),
        ({"lr": -1.0}, "must not be negative"),
    ],
)
def test_recipe_that_makes_no_sense(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(QUICK, **changes).check()  # type: ignore[arg-type]


def test_unreadable_dev_photos_do_not_stop_a_run(
    pairs: Pairs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    dev = Pairs(tmp_path, ("broken.png",), (("a thing",),))
    outcome = run(pairs, tmp_path / "out", replace(QUICK, epochs=1), dev=dev)
    assert (outcome.epoch, outcome.before, outcome.after) == (1, None, None)
    assert "no dev photo could be read, so the last epoch is kept" in caplog.text
