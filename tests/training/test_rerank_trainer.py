"""The loop of a reranker: its objectives against plain arithmetic, its groups, and runs that are cut off."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import train_data
from torch import Tensor
from torch.nn import functional as F

from mmsearch.errors import TrainingError
from mmsearch.rerank.model import RerankModel
from mmsearch.training.common import mining
from mmsearch.training.common.checkpoint import Run
from mmsearch.training.common.mining import Batch
from mmsearch.training.common.progress import TrainProgress
from mmsearch.training.common.session import RunOptions
from mmsearch.training.reranker.data import Lines, Photos, TrainData
from mmsearch.training.reranker.recipe import RerankRecipe
from mmsearch.training.reranker.trainer import RerankOutcome, RerankTrainer, configured, match_scores, train

QUICK = RerankRecipe(
    steps=7, blocks=1, width=32, batch=6, group=3, groups=2, near=4, questions=3, captions=3, masked=3, dev_every=3,
    precision="fp32",
)  # fmt: skip
PLAIN = replace(QUICK, token_dropout=0.0, word_dropout=0.0, region_dropout=0.0, dropout=0.0)
DATA = train_data()


class Killed(Exception):
    """Raised in the middle of a run, in place of a kill."""


def fresh(recipe: RerankRecipe, seed: int = 0) -> RerankModel:
    """A model whose parts all have something to say; a fresh one has zeros where errors would not show."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = RerankModel(configured(recipe, DATA.photos.dim, 2, 16, 12, 8))
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.1)
    return model


def found_first(model: RerankModel) -> dict[str, float]:
    """The share of the captions that find their photo, in percent."""
    photos, captions = len(DATA.captions), np.concatenate(DATA.captions)
    tokens = DATA.photos.plain(np.arange(photos))
    every = np.tile(np.arange(photos), (len(captions), 1))
    scores = match_scores(model, tokens, DATA.lines, captions, every)
    return {"merit": 100 * float((scores.argmax(axis=1) == captions // 2).mean())}


def run(out: Path, recipe: RerankRecipe, stop: int = 0, **more: Any) -> tuple[RerankModel, RerankOutcome]:
    """A run on the made-up photos; ``stop`` ends it abruptly after that step."""

    def progress(step: TrainProgress) -> None:
        if stop and step.done == stop:
            raise Killed

    if not more.get("resume"):
        Run(out).start({"base": "made up", "reranker_recipe": asdict(recipe)})
    model = fresh(recipe)
    inputs = more.pop("inputs", {"base": "made up"})
    return model, train(model, DATA, recipe, out, found_first, inputs, RunOptions(progress=progress, **more))


def session(recipe: RerankRecipe, folder: Path, learned: TrainData = DATA) -> RerankTrainer:
    made = RerankTrainer(fresh(recipe), learned, recipe, folder, found_first, RunOptions())
    made.learner.eval()
    return made


def one_by_one(model: RerankModel, lines: Lines, text: int, photo: int) -> Tensor:
    """The match of a text and a photo, alone and without padding."""
    states, mask = lines.batch(np.array([text]))
    match: Tensor = model(states, mask, DATA.photos.plain(np.array([photo])))[0]
    return match[0]


GROUPS = [
    Batch(np.array([0, 7, 2]), np.array([[1], [14], [5]])),
    Batch(np.array([4, 3]), np.array([[8], [7]])),
    Batch(np.array([9]), np.array([[18]])),
]


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_match_is_the_cross_entropy_of_each_group_in_both_directions(smoothing: float, tmp_path: Path) -> None:
    made = session(replace(PLAIN, smoothing=smoothing), tmp_path)
    model, lines = made.model, DATA.lines
    photos = np.concatenate([group.photos for group in GROUPS])
    captions = np.concatenate([group.captions[:, 0] for group in GROUPS])
    regions = model.see(DATA.photos.plain(photos))
    states, mask = lines.batch(captions)
    near = model.scale() * model.pooled_texts(states, mask) @ model.pooled_photos(regions).T
    loss, right = made._match(GROUPS, model.read(states), mask, regions, near)

    texts_to_photos: list[float] = []
    photos_to_texts: list[float] = []
    own: list[float] = []
    for group in GROUPS:
        square = torch.stack(
            [torch.stack([one_by_one(model, lines, text, p) for p in group.photos]) for text in group.captions[:, 0]]
        )
        answers = torch.arange(len(square))
        for rows, losses in ((square, texts_to_photos), (square.T, photos_to_texts)):
            losses += F.cross_entropy(rows, answers, label_smoothing=smoothing, reduction="none").tolist()
        own += square.diagonal().tolist()
    assert min(texts_to_photos[:5]) > 0.01
    assert right.tolist() == pytest.approx(own, abs=1e-4)
    assert loss.item() == pytest.approx((np.mean(texts_to_photos) + np.mean(photos_to_texts)) / 2, abs=1e-4)
    (gradient,) = torch.autograd.grad(loss, [model.match_head.weight])
    assert float(gradient.abs().max()) > 1e-4


def test_photos_that_share_a_caption_are_no_wrong_answers_to_each_other(tmp_path: Path) -> None:
    alike = np.arange(10)
    alike[7] = alike[0]  # both in the first group
    made = session(replace(PLAIN, smoothing=0.3), tmp_path, replace(DATA, alike=alike))
    model, lines, group = made.model, DATA.lines, GROUPS[0]
    captions = group.captions[:, 0]
    regions = model.see(DATA.photos.plain(group.photos))
    states, mask = lines.batch(captions)
    near = model.scale() * model.pooled_texts(states, mask) @ model.pooled_photos(regions).T
    loss, _ = made._match([group], model.read(states), mask, regions, near)
    square = torch.stack(
        [torch.stack([one_by_one(model, lines, text, photo) for photo in group.photos]) for text in captions]
    )
    wanted = []
    for rows in (square, square.T):
        for row, meets in ((0, [0, 2]), (1, [1, 2]), (2, [2, 0, 1])):  # the right one first
            wanted.append(F.cross_entropy(rows[row][meets], torch.tensor(0), label_smoothing=0.3).item())
    assert loss.item() == pytest.approx(np.mean(wanted), abs=1e-4)


def test_thing_matches_a_photo_that_shows_it_better_than_one_that_does_not(tmp_path: Path) -> None:
    made = session(replace(PLAIN, things=40), tmp_path)
    each = {
        thing.line: F.softplus(
            one_by_one(made.model, DATA.lines, thing.line, int(thing.absent[0]))
            - one_by_one(made.model, DATA.lines, thing.line, int(thing.shown[0]))
        ).item()
        for thing in DATA.things
    }
    drawn = np.random.default_rng(5).integers(0, len(DATA.things), 40)
    wanted = np.mean([each[DATA.things[number].line] for number in drawn])
    tokens = replace(DATA, photos=Photos(DATA.photos.stored[:, :1], 4, DATA.photos.dim))  # one view: nothing is drawn
    made = session(replace(PLAIN, things=40), tmp_path, tokens)
    assert made._thing(np.random.default_rng(5)).item() == pytest.approx(wanted, abs=1e-4)


def test_true_captions_are_set_against_their_false_versions(tmp_path: Path) -> None:
    made = session(PLAIN, tmp_path)
    model, lines = made.model, DATA.lines
    captions, photos = np.array([6, 1, 0, 3]), np.array([3, 0, 0, 1])  # those of odd rows have no false version
    regions = model.see(DATA.photos.plain(photos))
    right = torch.stack([one_by_one(model, lines, t, p) for t, p in zip(captions, photos, strict=True)])
    loss = made._changed(captions, regions, model.pooled_photos(regions), right, model.scale())
    wrong = [one_by_one(model, lines, int(DATA.changed[t]), p).item() for t, p in ((6, 3), (0, 0))]
    wanted = [np.log1p(np.exp(w - r)) for w, r in zip(wrong, right[[0, 2]].tolist(), strict=True)]
    assert loss.item() == pytest.approx(np.mean(wanted), abs=1e-4)
    none = made._changed(np.array([1, 3]), regions, model.pooled_photos(regions), right[:2], model.scale())
    assert none.item() == 0
    none.backward()  # can be part of a loss


@pytest.mark.parametrize("size", [3, 4, 5])
def test_groups_are_near_photos_and_every_caption_comes_once(size: int) -> None:
    families = 6  # of four photos that are near each other and no others
    captions, row = [], 0
    for photo in range(4 * families):
        captions.append(np.arange(row, row + 1 + photo % 3))  # some have more captions than others
        row += len(captions[-1])
    near = np.array([[other for other in range(4 * family, 4 * family + 4) if other != photo]
                     for family in range(families) for photo in range(4 * family, 4 * family + 4)])  # fmt: skip
    owner = np.repeat(np.arange(len(captions)), [len(own) for own in captions])
    kept = []
    for seed in (0, 1):
        found = mining.groups(captions, size, np.random.default_rng(seed), near)
        assert sorted(np.concatenate([group.captions[:, 0] for group in found]).tolist()) == [*range(row)]
        for group in found:
            assert owner[group.captions[:, 0]].tolist() == group.photos.tolist()
            assert len(group.photos) == len(set(group.photos.tolist())) <= size
        of = [Counter((group.photos // 4).tolist()) for group in found]
        strangers = [counts for counts in of if len(counts) > 1]
        assert all(set(counts.values()) == {1} for counts in strangers)  # only photos that found no other
        assert sum(counts.total() for counts in of if len(counts) == 1 and counts.total() > 1) > row / 2
        kept.append([group.captions.tolist() for group in found])
    assert kept[0] != kept[1]


def test_steps_of_an_epoch_have_every_caption_once(tmp_path: Path) -> None:
    learned = replace(DATA, captions=[np.arange(2 * photo, 2 * photo + 1 + photo % 2) for photo in range(10)])
    made = session(QUICK, tmp_path, learned)
    wanted = sorted(np.concatenate(learned.captions).tolist())  # 15 captions in steps of about 6
    epochs = []
    for epoch in range(3):
        steps = [made._groups(step) for step in range(3 * epoch, 3 * epoch + 3)]
        assert all(3 <= sum(len(group.photos) for group in step) <= 9 for step in steps)
        epochs.append([row for step in steps for group in step for row in group.captions[:, 0].tolist()])
        assert sorted(epochs[-1]) == wanted
    assert epochs[0] != epochs[1] != epochs[2]
    again = session(QUICK, tmp_path, learned)._groups(7)  # a resumed run begins in the middle
    assert [group.captions.tolist() for group in again] == [group.captions.tolist() for group in made._groups(7)]


def test_objectives_of_weight_0_or_without_data_are_left_out(tmp_path: Path) -> None:
    def parts(recipe: RerankRecipe) -> dict[str, float]:
        made = session(recipe, tmp_path)
        torch.manual_seed(0)
        return {name: term.item() for name, term in made._objectives(0, np.random.default_rng(0)).items()}

    every = parts(PLAIN)
    assert set(every) == {"pooled", "match", "changed", "thing", "answer", "caption", "masked_words"}
    assert every.keys() - parts(replace(PLAIN, changed=0.0, caption=0.0)).keys() == {"changed", "caption"}
    assert every.keys() - parts(replace(PLAIN, match=0.0)).keys() == {"match", "changed"}
    none = parts(replace(PLAIN, things=0, questions=0, captions=0, masked=0))
    assert none.keys() == {"pooled", "match", "changed"}
    double = parts(replace(PLAIN, pooled=2 * PLAIN.pooled, match=2 * PLAIN.match))
    assert double["pooled"] == pytest.approx(2 * every["pooled"], rel=1e-5)
    assert double["match"] == pytest.approx(2 * every["match"], rel=1e-5)
    assert double["answer"] == pytest.approx(every["answer"], rel=1e-5)


def events(out: Path) -> list[dict[str, Any]]:
    lines = (out / "log.jsonl").read_text("utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "pairs_per_second"} for line in lines]


def test_run_that_was_cut_off_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = replace(QUICK, steps=13)
    model, outcome = run(tmp_path / "whole", recipe)
    cut = tmp_path / "cut"
    with pytest.raises(Killed):
        run(cut, recipe, stop=1, save_every=0.0)  # before the first checkpoint
    with pytest.raises(Killed):
        run(cut, recipe, stop=5, resume=True, save_every=0.0)  # in the middle of an epoch
    with pytest.raises(Killed):
        run(cut, recipe, stop=12, resume=True, save_every=60.0)  # after a look at dev that is done again
    torch.rand(3)  # whatever else draws numbers
    resumed, other = run(cut, recipe, resume=True)
    assert replace(other, folder=outcome.folder) == outcome
    wanted, found = model.state_dict(), resumed.state_dict()
    assert [name for name, weight in wanted.items() if not torch.equal(weight, found[name])] == []
    assert events(cut) == events(tmp_path / "whole")
    assert [event["step"] for event in events(cut)] == [3, 6, 9, 10, 12, 13, 13]  # the last step, and a look at dev
    start = fresh(recipe).state_dict()
    assert any(not torch.equal(weight, start[name]) for name, weight in wanted.items())


def test_run_is_resumed_only_with_what_it_was_started_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Killed):
        run(out, QUICK, stop=2)
    with pytest.raises(TrainingError, match=r"cannot be resumed: .* changed: the recipe \(lr\); bring back"):
        run(out, replace(QUICK, lr=1.0), resume=True)
    with pytest.raises(TrainingError, match=r"cannot be resumed: .* changed: the model of the first stage; bring"):
        run(out, QUICK, resume=True, inputs={"base": "another"})
    assert run(out, QUICK, resume=True)[1].steps == 7


def test_a_few_photos_are_learned_by_heart(tmp_path: Path) -> None:
    several: dict[str, Any] = {"batch": 10, "group": 5, "questions": 10, "captions": 10, "masked": 20}
    recipe = replace(PLAIN, steps=40, lr=2e-3, ema=0.8, dev_every=10, smoothing=0.0, **several)
    before = found_first(fresh(recipe))["merit"]
    untrained = session(recipe, tmp_path)._objectives(0, np.random.default_rng(0))
    model, outcome = run(tmp_path / "out", recipe)
    assert before <= 50
    assert outcome.figures == found_first(model)
    assert outcome.figures["merit"] >= 90
    steps = [event for event in events(tmp_path / "out") if event["event"] == "step"]
    assert steps[-1]["loss"] < sum(term.item() for term in untrained.values()) / 3
    for name, term in untrained.items():
        assert steps[-1][name] < term.item(), (name, steps)
    looks = [event for event in events(tmp_path / "out") if event["event"] == "dev"]
    assert [look["step"] for look in looks] == [10, 20, 30, 40]
    best = max(looks, key=lambda look: look["merit"])  # the first of the best
    assert (outcome.step, outcome.figures["merit"]) == (best["step"], best["merit"])


def test_caller_keeps_its_random_numbers(tmp_path: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    run(tmp_path / "out", replace(QUICK, steps=1))
    assert torch.equal(torch.rand(4), wanted)


def test_loss_that_is_no_number(tmp_path: Path) -> None:
    stored = DATA.photos.stored.copy()
    stored[:] = np.nan
    photos = type(DATA.photos)(stored, DATA.photos.regions, DATA.photos.dim)
    Run(tmp_path / "out").start({"reranker_recipe": asdict(QUICK)})
    with pytest.raises(TrainingError, match="the loss is no number after 0 steps"):
        train(fresh(QUICK), replace(DATA, photos=photos), QUICK, tmp_path / "out", found_first, {})


def test_match_scores_are_those_of_single_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fresh(QUICK).eval()
    texts, candidates = np.array([3, 0, 3, 12, 7]), np.array([[1, 9, 4], [0, 2, 2], [4, 1, 9], [8, 3, 0], [6, 5, 3]])
    tokens = DATA.photos.plain(np.arange(10))
    found = match_scores(model.train(), tokens, DATA.lines, texts, candidates)
    model.eval()
    with torch.no_grad():
        wanted = [
            [float(one_by_one(model, DATA.lines, text, photo)) for photo in own]
            for text, own in zip(texts, candidates, strict=True)
        ]
    assert np.allclose(found, wanted, atol=1e-4)
    assert found.std() > 0.1
    monkeypatch.setattr("mmsearch.training.reranker.trainer.PAIRS", 7)  # several parts
    assert np.allclose(match_scores(model, tokens, DATA.lines, texts, candidates), wanted, atol=1e-4)
