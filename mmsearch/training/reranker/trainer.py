"""The training loop of a reranker: match, answer, caption and masked words on one trunk.

Photos are seen as the region tokens that a library stores, texts as the states of a frozen text encoder; both are
computed once.  All randomness of a step comes from (seed, step), as in ``contrastive/trainer.py``, so a run that was
killed and goes on ends with the same bits.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.rerank.model import RerankConfig, RerankModel
from mmsearch.rerank.vocabulary import PAD
from mmsearch.training.common import losses, mining, optimize, unchanged
from mmsearch.training.common.session import (
    RunOptions,
    Session,
    checked_loss,
    random_mask,
    seed_torch,
)
from mmsearch.training.common.steps import run_steps
from mmsearch.training.reranker.data import Lines, Numbers, TrainData
from mmsearch.training.reranker.recipe import RerankRecipe

log = logging.getLogger(__name__)

PAIRS = 512  # pairs through the trunk together when nothing is learned


SELECTION_METRIC = "merit"  # among the figures of a judge: what the best weights are chosen by
Judge = Callable[[RerankModel], dict[str, float]]  # figures on dev


@dataclass
class _State:
    """Where a run stands; all of it is in the checkpoint."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    figures: dict[str, float] = field(default_factory=dict)  # of the best step
    loss: float = math.nan


class Learner(nn.Module):
    """The model and what only training needs."""

    def __init__(self, model: RerankModel, classes: int) -> None:
        super().__init__()
        self.model = model
        self.masked_head = nn.Linear(model.config.width, max(classes, 1))


@dataclass(frozen=True)
class RerankOutcome:
    """What ``train`` gives; the model holds the weights that were kept."""

    folder: Path
    step: int  # that was kept
    steps: int
    figures: dict[str, float]
    loss: float


def train(
    model: RerankModel, data: TrainData, recipe: RerankRecipe, out: Path, judge: Judge, inputs: dict[str, Any],
    options: RunOptions | None = None,
) -> RerankOutcome:  # fmt: skip
    """Train; the moving average of the weights with the best selection metric on dev is kept in the model.

    ``out`` holds a run that ``checkpoint.Run.start`` was given ``inputs``, what it stands on, and the recipe as
    ``reranker_recipe``.  Raises TrainingError where they are not the same, and when the loss stops being a number.
    """
    recipe.check()
    with torch.random.fork_rng():
        return RerankTrainer(model, data, recipe, out, judge, options or RunOptions()).run(inputs)


def configured(
    recipe: RerankRecipe, region_dim: int, side: int, text_width: int, answers: int, said: int
) -> RerankConfig:
    """The shape of the model that a recipe asks for."""
    return RerankConfig(
        region_dim=region_dim, side=side, text_width=text_width, attention=recipe.attention, fusion=recipe.fusion,
        blocks=recipe.blocks, width=recipe.width, dropout=recipe.dropout, answers=answers, caption_words=said,
    )  # fmt: skip


class RerankTrainer:
    """One call of ``train``."""

    def __init__(
        self, model: RerankModel, data: TrainData, recipe: RerankRecipe, out: Path, judge: Judge, options: RunOptions
    ) -> None:
        self.model, self.data, self.recipe, self.out, self.judge = model, data, recipe, out, judge
        self.options, self.device = options, torch.device(options.device)
        seed_torch(recipe.seed, 0)
        self.learner = Learner(model, data.classes)
        self.learner.to(self.device)
        trained = dict(self.learner.named_parameters())
        groups = [optimize.Group("pool", 0, list(trained.values()))]
        optimizer = optimize.optimizer(groups, [], optimize.Rates(recipe.lr, weight_decay=recipe.weight_decay))
        scaler = torch.amp.GradScaler(self.device.type, enabled=False)  # bfloat16 needs none
        self.session = Session(out, trained, optimizer, recipe.ema, recipe.clip, scaler, options)
        self.bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and self.device.type == "cuda")
        self.plan: tuple[int, list[mining.Batch]] = (-1, [])  # of one epoch

    def run(self, inputs: dict[str, Any]) -> RerankOutcome:
        """All steps; the best weights are in the model then."""
        unchanged.check(self.out, self.session.files.facts(), {**inputs, "reranker_recipe": asdict(self.recipe)})
        found = self.session.restore(self.options.resume)
        state = _State(**found["state"]) if found is not None else _State()
        run_steps(
            self.session, state, self.recipe, self.options,
            lambda step: self._train_batch(state, step),
            lambda: self._evaluate(state),
        )  # fmt: skip
        self.session.load_best()
        self.model.eval()
        return RerankOutcome(self.out, state.best_step, state.step, state.figures, state.loss)

    def _train_batch(self, state: _State, step: int) -> dict[str, float]:
        state.loss, parts = self._step(step)
        return {"loss": state.loss, **parts}

    def _evaluate(self, state: _State) -> None:
        """Dev, with the averaged weights."""
        with self.session.average.applied():
            self.learner.eval()
            figures = self.judge(self.model)
        if figures[SELECTION_METRIC] > state.best:
            state.best, state.best_step, state.figures = figures[SELECTION_METRIC], state.step, figures
            self.session.keep_best()
        self.session.add_event("dev", step=state.step, **figures)
        shown = "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
        log.info("step %d of %d: loss %.3f  %s", state.step, self.recipe.steps, state.loss, shown)

    # -- one step -------------------------------------------------------------------------------------------------

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _step(self, step: int) -> tuple[float, dict[str, float]]:
        seed_torch(self.recipe.seed, step + 1)
        rng = np.random.default_rng([self.recipe.seed, step, 1])
        self.learner.train()
        self.session.begin_step()
        with self._precision():
            terms = self._objectives(step, rng)
        loss = torch.stack([value.float() for value in terms.values()]).sum()
        value = checked_loss(loss, step)
        loss.backward()
        self.session.end_step()
        return value, {name: round(float(term.detach()), 4) for name, term in terms.items()}

    def _objectives(self, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """The recipe's objectives on one step's data, each times its weight."""
        recipe, data = self.recipe, self.data
        found: dict[str, Tensor] = {}
        groups = self._groups(step)
        photos = np.concatenate([group.photos for group in groups])
        captions = np.concatenate([group.captions[:, 0] for group in groups])
        tokens = F.dropout(data.photos.draw(photos, rng).to(self.device), recipe.token_dropout)
        regions = self.model.see(tokens)
        states, mask = self._words(captions)
        texts = self.model.pooled_texts(states, mask)
        shown = self.model.pooled_photos(regions, random_mask(regions.shape[:2], recipe.region_dropout, self.device))
        scale = self.model.scale()
        if recipe.pooled:
            rows = torch.from_numpy(data.alike[photos])
            found["pooled"] = recipe.pooled * losses.info_nce(shown, texts, scale, recipe.smoothing, rows)
        near = scale * texts @ shown.T  # (b, b)
        words = self.model.read(states)
        if recipe.match:
            loss, right = self._match(groups[: recipe.groups], words, mask, regions, near)
            found["match"] = recipe.match * loss
            if recipe.changed:
                found["changed"] = recipe.changed * self._changed(captions, regions, shown, right, scale)
        if recipe.thing and recipe.things and data.things:
            found["thing"] = recipe.thing * self._thing(rng)
        if recipe.answer and recipe.questions and len(data.questions):
            found["answer"] = recipe.answer * self._answer(rng)
        told = np.flatnonzero(data.describes[captions])[: recipe.captions]
        if recipe.caption and len(told):
            found["caption"] = recipe.caption * self._caption(captions[told], regions[torch.from_numpy(told)])
        if recipe.masked_words and recipe.masked and len(data.masked):
            found["masked_words"] = recipe.masked_words * self._masked(rng)
        return found

    def _groups(self, step: int) -> list[mining.Batch]:
        """The groups of one step, about ``batch`` photos in all; those of an epoch have every caption once."""
        recipe, captions = self.recipe, self.data.captions
        steps = -(-sum(map(len, captions)) // recipe.batch)
        epoch, place = divmod(step, steps)
        if self.plan[0] != epoch:
            rng = np.random.default_rng([recipe.seed, epoch, 0])
            self.plan = epoch, mining.groups(captions, recipe.group, rng, self.data.near)
        groups = self.plan[1]
        return groups[place * len(groups) // steps : (place + 1) * len(groups) // steps]

    def _words(self, rows: Numbers) -> tuple[Tensor, Tensor]:
        """States and mask of texts; some words hidden."""
        states, mask = self.data.lines.batch(rows)
        states, mask = states.to(self.device), mask.to(self.device)
        kept = random_mask(mask.shape, self.recipe.word_dropout, self.device)
        if kept is not None:
            mask = mask & kept
        return F.dropout(states, self.recipe.token_dropout), mask

    def _match(
        self, groups: list[mining.Batch], words: Tensor, mask: Tensor, regions: Tensor, near: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The softmax over each group in both directions; and the logits of the right pairs."""
        size = max(len(group.photos) for group in groups)
        starts = np.cumsum([0, *(len(group.photos) for group in groups)])
        text, photo, cell = [], [], []
        for number, group in enumerate(groups):
            count = len(group.photos)
            one, other = np.divmod(np.arange(count * count), count)
            text.append(starts[number] + one)
            photo.append(starts[number] + other)
            cell.append((number * size + one) * size + other)
        i, j = torch.from_numpy(np.concatenate(text)), torch.from_numpy(np.concatenate(photo))
        joined = self.model.join(words[i], mask[i], regions[j])
        logits = self.model.matches(joined.fused).float() + near[i, j].float()
        square = torch.full((len(groups) * size * size,), losses.NEVER, device=self.device)
        square[torch.from_numpy(np.concatenate(cell))] = logits
        square = square.view(len(groups), size, size).masked_fill(self._shared(groups, size), losses.NEVER)
        places = torch.arange(size, device=self.device).expand(len(groups), size)
        real = places < torch.tensor([[len(group.photos)] for group in groups], device=self.device)
        parts = []
        for rows in (square, square.transpose(1, 2)):
            logs = rows[real].log_softmax(dim=1)  # (captions, size)
            counts = rows[real] > losses.NEVER / 2
            own = logs.gather(1, places[real][:, None]).squeeze(1)
            even = logs.masked_fill(~counts, 0).sum(dim=1) / counts.sum(dim=1)
            parts.append(-((1 - self.recipe.smoothing) * own + self.recipe.smoothing * even).mean())
        diagonal = square.diagonal(dim1=1, dim2=2)[real]  # in the order of the photos
        return torch.stack(parts).mean(), diagonal

    def _shared(self, groups: list[mining.Batch], size: int) -> Tensor:
        """(groups, size, size), True where a caption belongs to another photo of its group too."""
        found = torch.zeros(len(groups), size, size, dtype=torch.bool)
        for number, group in enumerate(groups):
            alike, count = self.data.alike[group.photos], len(group.photos)
            found[number, :count, :count] = torch.from_numpy(alike[:, None] == alike[None, :])
        found &= ~torch.eye(size, dtype=torch.bool)
        return found.to(self.device)

    def _changed(self, captions: Numbers, regions: Tensor, shown: Tensor, right: Tensor, scale: Tensor) -> Tensor:
        """The true caption must be ahead of its false version."""
        false = self.data.changed[captions[: len(right)]]
        rows = np.flatnonzero(false >= 0)
        if not len(rows):
            return right.sum() * 0
        at = torch.from_numpy(rows)
        wrong = self._pairs(*self._words(false[rows]), regions[at], shown[at], scale)
        return F.softplus(wrong - right[at]).mean()

    def _pairs(self, states: Tensor, mask: Tensor, regions: Tensor, shown: Tensor, scale: Tensor) -> Tensor:
        """Match logits of texts, each with the photo of the same row, (n,)."""
        joined = self.model.join(self.model.read(states), mask, regions)
        near = scale * (self.model.pooled_texts(states, mask) * shown).sum(dim=1)
        return self.model.matches(joined.fused).float() + near.float()

    def _thing(self, rng: np.random.Generator) -> Tensor:
        """A thing must match a photo that shows it better than one that does not."""
        things = self.data.things
        drawn = [things[number] for number in rng.integers(0, len(things), self.recipe.things)]
        photos = [rng.choice(one.shown) for one in drawn] + [rng.choice(one.absent) for one in drawn]
        tokens = self.data.photos.draw(np.array(photos), rng).to(self.device)
        regions = self.model.see(F.dropout(tokens, self.recipe.token_dropout))
        shown = self.model.pooled_photos(regions)
        states, mask = self._words(np.array([one.line for one in drawn] * 2))
        right, wrong = self._pairs(states, mask, regions, shown, self.model.scale()).chunk(2)
        return F.softplus(wrong - right).mean()

    def _answer(self, rng: np.random.Generator) -> Tensor:
        data = self.data
        sources = np.unique(data.sources)
        source = rng.choice(sources, self.recipe.questions)
        rows = np.array([rng.choice(np.flatnonzero(data.sources == one)) for one in source])
        target = torch.tensor([int(rng.choice(data.answers[row])) for row in rows], device=self.device)
        tokens = data.photos.draw(data.question_photo[rows], rng).to(self.device)
        states, mask = self._words(data.questions[rows])
        regions = self.model.see(F.dropout(tokens, self.recipe.token_dropout))
        joined = self.model.join(self.model.read(states), mask, regions)
        return F.cross_entropy(self.model.answers(joined.fused).float(), target, label_smoothing=self.recipe.smoothing)

    def _caption(self, captions: Numbers, regions: Tensor) -> Tensor:
        said = [self.data.said[row] for row in captions]
        words = np.full((len(said), max(len(row) for row in said)), PAD, np.int64)
        for place, row in enumerate(said):
            words[place, : len(row)] = row
        targets = torch.from_numpy(words).to(self.device)
        logits = self.model.decoder(targets[:, :-1], regions).float()
        return F.cross_entropy(
            logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=PAD, label_smoothing=self.recipe.smoothing
        )

    def _masked(self, rng: np.random.Generator) -> Tensor:
        data = self.data
        rows = rng.choice(len(data.masked), self.recipe.masked)
        states, mask = data.lines.batch(data.masked[rows])
        states, mask = states.to(self.device), mask.to(self.device)
        tokens = data.photos.draw(data.masked_photo[rows], rng).to(self.device)
        joined = self.model.join(self.model.read(states), mask, self.model.see(tokens))
        target = np.full(tuple(mask.shape), -1, np.int64)
        for place, row in enumerate(rows):
            own = data.masked_words[row]
            target[place, : len(own)] = own
        wanted = torch.from_numpy(target).to(self.device)
        asked = wanted >= 0
        logits = self.learner.masked_head(joined.words[asked]).float()
        return F.cross_entropy(logits, wanted[asked], label_smoothing=self.recipe.smoothing)


@torch.no_grad()
def match_scores(
    model: RerankModel, photos: Tensor, lines: Lines, texts: Numbers, candidates: Numbers
) -> NDArray[np.float32]:
    """Match logits of texts with their candidates: ``texts`` (q,) rows of lines, ``candidates`` (q, k) rows of
    ``photos`` (p, regions, dim), -> (q, k)."""
    model.eval()
    device = model.log_scale.device
    regions = torch.cat([model.see(part.to(device)) for part in photos.split(PAIRS)])
    shown = model.pooled_photos(regions)
    found = np.empty(candidates.shape, np.float32)
    count = candidates.shape[1]
    each = max(1, PAIRS // count)
    for start in range(0, len(texts), each):
        states, mask = (part.to(device) for part in lines.batch(texts[start : start + each]))
        chosen = torch.from_numpy(candidates[start : start + each])  # (m, k)
        near = (model.pooled_texts(states, mask)[:, None] * shown[chosen]).sum(dim=2) * model.scale()  # (m, k)
        words = model.read(states).repeat_interleave(count, dim=0)
        joined = model.join(words, mask.repeat_interleave(count, dim=0), regions[chosen.flatten()])
        found[start : start + each] = (model.matches(joined.fused).view(-1, count) + near).cpu().numpy()
    return found
