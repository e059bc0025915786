"""The training loop of a reranker: match, answer, caption and masked words on one trunk.

Photos are seen as the region tokens that a library stores, texts as the states of a frozen text encoder; both are
computed once.  All randomness of a step comes from (seed, step), as in ``contrastive/trainer.py``, so a run that was
killed and goes on ends with the same bits.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.errors import TrainingError
from mmsearch.rerank.model import RerankConfig, RerankModel
from mmsearch.rerank.vocabulary import PAD
from mmsearch.training.common import checkpoint, losses, mining, optimize, report, unchanged
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainee import Group
from mmsearch.training.contrastive.trainer import TrainProgress
from mmsearch.training.reranker.data import Lines, Photos
from mmsearch.training.reranker.recipe import RerankRecipe

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0  # seconds between checkpoints
LOG_EVERY = 10  # steps between two lines of log.jsonl
PAIRS = 512  # pairs through the trunk together when nothing is learned
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Material:
    """Everything a run learns from; rows of ``photos`` are photos, rows of ``lines`` texts."""

    photos: Photos
    lines: Lines
    captions: list[Numbers]  # of each captioned photo, rows of lines; the captioned photos come first in ``photos``
    changed: Numbers  # (captions,): the row of a false version of each caption, -1 where there is none
    masked: Numbers  # (m,): rows of lines with hidden words
    masked_photo: Numbers  # (m,)
    masked_words: list[Numbers]  # of each, the hidden words as classes, -1 where a word is not hidden
    said: list[Numbers]  # of each caption, which are the first lines, its words in the caption vocabulary
    questions: Numbers  # (q,): rows of lines
    question_photo: Numbers  # (q,)
    answers: list[Numbers]  # the right answers of each question, as classes; at least one
    sources: Numbers  # (q,): questions of one source are drawn as often as those of another
    near: Numbers  # (captioned photos, k): other photos that the first stage finds by this one's captions
    classes: int = 0  # of hidden words


Judge = Callable[[RerankModel], dict[str, float]]  # looks at dev; "merit" is what the best weights are chosen by


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
    model: RerankModel,
    material: Material,
    recipe: RerankRecipe,
    out: Path,
    judge: Judge,
    facts: dict[str, Any],
    progress: Callable[[TrainProgress], None] | None = None,
    *,
    device: str = "cpu",
    resume: bool = False,
    save_every: float = SAVE_EVERY,
) -> RerankOutcome:
    """Train; the moving average of the weights with the best merit on dev is kept in the model.

    ``out`` holds a run that ``checkpoint.Run.start`` was given ``facts``, what it stands on, and the recipe as
    ``reranker_recipe``.  Raises TrainingError where they are not the same, and when the loss stops being a number.
    """
    recipe.check()
    with torch.random.fork_rng():
        return _Session(model, material, recipe, out, judge, progress, device, save_every).run(facts, resume)


def configured(
    recipe: RerankRecipe, region_dim: int, side: int, text_width: int, answers: int, said: int
) -> RerankConfig:
    """The shape of the model that a recipe asks for."""
    return RerankConfig(
        region_dim=region_dim, side=side, text_width=text_width, attention=recipe.attention, fusion=recipe.fusion,
        blocks=recipe.blocks, width=recipe.width, dropout=recipe.dropout, answers=answers, caption_words=said,
    )  # fmt: skip


class _Session:
    """One call of ``train``."""

    def __init__(
        self, model: RerankModel, material: Material, recipe: RerankRecipe, out: Path, judge: Judge,
        progress: Callable[[TrainProgress], None] | None, device: str, save_every: float,
    ) -> None:  # fmt: skip
        self.material, self.recipe, self.judge, self.progress = material, recipe, judge, progress
        self.device, self.save_every, self.out = torch.device(device), save_every, out
        self.files = checkpoint.Run(out)
        self._seed(-1)
        self.learner = Learner(model, material.classes)
        self.model = model
        self.learner.to(self.device)
        self.trained = dict(self.learner.named_parameters())
        groups = [Group("pool", 0, list(self.trained.values()))]
        rates = replace(Recipe(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        self.optimizer = optimize.optimizer(groups, [], rates)
        self.average = optimize.Average(list(self.trained.values()), recipe.ema)
        bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and self.device.type == "cuda")
        self.bf16 = bf16
        self.plan: tuple[int, list[mining.Meeting]] = (-1, [])  # of one epoch

    def run(self, facts: dict[str, Any], resume: bool) -> RerankOutcome:
        state = self._open(facts, resume)
        recipe = self.recipe
        started = saved = time.perf_counter()
        first = state.step
        while state.step < recipe.steps:
            optimize.set_rate(self.optimizer, optimize.rate(state.step, recipe.steps, recipe.warmup))
            state.loss, parts = self._step(state.step)
            state.step += 1
            now = time.perf_counter()
            pace = recipe.batch * (state.step - first) / max(now - started, 1e-9)
            if state.step % LOG_EVERY == 0:
                self.log.add("step", step=state.step, loss=state.loss, pairs_per_second=round(pace, 1), **parts)
            if self.progress is not None:
                left = (now - started) / (state.step - first) * (recipe.steps - state.step)
                rate = self.optimizer.param_groups[0]["lr"]
                done = TrainProgress("training", state.step, recipe.steps, 0, 0, state.loss, rate, pace, left)
                self.progress(done)
            looked = state.step % recipe.dev_every == 0 or state.step == recipe.steps
            if looked:
                self._look(state)
            if looked or now - saved >= self.save_every:
                self._save(state)
                saved = time.perf_counter()
        best = self.files.load_best()
        assert best is not None
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(best[name])
        self.model.eval()
        return RerankOutcome(self.out, state.best_step, state.step, state.figures, state.loss)

    def _open(self, facts: dict[str, Any], resume: bool) -> _State:
        wanted = {**facts, "reranker_recipe": asdict(self.recipe)}
        unchanged.check(self.out, self.files.facts(), wanted)
        stored = self.files.load() if resume else None
        if stored is None:
            self.log = report.Log(self.files.log)
            return _State()
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(stored["weights"][name])
        self.average.load([stored["means"][name] for name in self.trained], stored["averaged"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.log = report.Log(self.files.log, stored["log"])
        log.info("going on after step %d", stored["state"]["step"])
        return _State(**stored["state"])

    def _save(self, state: _State) -> None:
        self.files.save(
            {
                "state": vars(state),
                "weights": {name: p.detach().cpu() for name, p in self.trained.items()},
                "means": self._means(),
                "averaged": self.average.steps,
                "optimizer": self.optimizer.state_dict(),
                "log": self.log.position(),
            }
        )

    def _means(self) -> dict[str, Tensor]:
        return {name: mean.cpu() for name, mean in zip(self.trained, self.average.means, strict=True)}

    def _look(self, state: _State) -> None:
        """Dev, with the averaged weights."""
        with self.average.applied():
            self.learner.eval()
            figures = self.judge(self.model)
        if figures["merit"] > state.best:
            state.best, state.best_step, state.figures = figures["merit"], state.step, figures
            self.files.save_best(self._means())
        self.log.add("dev", step=state.step, **figures)
        shown = "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
        log.info("step %d of %d: loss %.3f  %s", state.step, self.recipe.steps, state.loss, shown)

    # -- one step -------------------------------------------------------------------------------------------------

    def _seed(self, step: int) -> None:
        """Torch's random numbers of a step; -1 is before the first."""
        words = np.random.SeedSequence([self.recipe.seed, step + 1]).generate_state(2, np.uint32)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def _step(self, step: int) -> tuple[float, dict[str, float]]:
        self._seed(step)
        rng = np.random.default_rng([self.recipe.seed, step, 1])
        self.learner.train()
        self.optimizer.zero_grad()
        with self._precision():
            terms = self._objectives(step, rng)
        loss = torch.stack([value.float() for value in terms.values()]).sum()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"the loss is no number after {step} steps; resume makes no sense: try a lower lr")
        loss.backward()
        nn.utils.clip_grad_norm_(list(self.trained.values()), self.recipe.clip)
        self.optimizer.step()
        self.average.update()
        return value, {name: round(float(term.detach()), 4) for name, term in terms.items()}

    def _objectives(self, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """The recipe's objectives on one step's material, each times its weight."""
        recipe, material = self.recipe, self.material
        found: dict[str, Tensor] = {}
        groups = self._groups(step)
        photos = np.concatenate([group.photos for group in groups])
        captions = np.concatenate([group.captions[:, 0] for group in groups])
        tokens = F.dropout(material.photos.draw(photos, rng).to(self.device), recipe.token_dropout)
        regions = self.model.see(tokens)
        states, mask = self._words(captions)
        texts = self.model.pooled_texts(states, mask)
        shown = self.model.pooled_photos(regions, _keep(regions.shape[:2], recipe.region_dropout, self.device))
        scale = self.model.scale()
        if recipe.pooled:
            rows = torch.from_numpy(photos)
            found["pooled"] = recipe.pooled * losses.info_nce(shown, texts, scale, recipe.smoothing, rows)
        near = scale * texts @ shown.T  # (b, b)
        words = self.model.read(states)
        if recipe.match:
            loss, right = self._match(groups[: recipe.groups], words, mask, regions, near)
            found["match"] = recipe.match * loss
            if recipe.changed:
                found["changed"] = recipe.changed * self._changed(captions, regions, shown, right, scale)
        if recipe.answer and recipe.questions and len(material.questions):
            found["answer"] = recipe.answer * self._answer(rng)
        if recipe.caption and recipe.captions:
            found["caption"] = recipe.caption * self._caption(captions[: recipe.captions], regions[: recipe.captions])
        if recipe.masked_words and recipe.masked and len(material.masked):
            found["masked_words"] = recipe.masked_words * self._masked(rng)
        return found

    def _groups(self, step: int) -> list[mining.Meeting]:
        """The groups of one step, about ``batch`` photos in all; those of an epoch have every caption once."""
        recipe, captions = self.recipe, self.material.captions
        steps = -(-sum(map(len, captions)) // recipe.batch)
        epoch, place = divmod(step, steps)
        if self.plan[0] != epoch:
            rng = np.random.default_rng([recipe.seed, epoch, 0])
            self.plan = epoch, mining.groups(captions, recipe.group, rng, self.material.near)
        groups = self.plan[1]
        return groups[place * len(groups) // steps : (place + 1) * len(groups) // steps]

    def _words(self, rows: Numbers) -> tuple[Tensor, Tensor]:
        """States and mask of texts; some words hidden."""
        states, mask = self.material.lines.batch(rows)
        states, mask = states.to(self.device), mask.to(self.device)
        kept = _keep(mask.shape, self.recipe.word_dropout, self.device)
        if kept is not None:
            mask = mask & kept
        return F.dropout(states, self.recipe.token_dropout), mask

    def _match(
        self, groups: list[mining.Meeting], words: Tensor, mask: Tensor, regions: Tensor, near: Tensor
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
        square = square.view(len(groups), size, size)
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

    def _changed(self, captions: Numbers, regions: Tensor, shown: Tensor, right: Tensor, scale: Tensor) -> Tensor:
        """The true caption must be ahead of its false version."""
        false = self.material.changed[captions[: len(right)]]
        rows = np.flatnonzero(false >= 0)
        if not len(rows):
            return right.sum() * 0
        at = torch.from_numpy(rows)
        states, mask = self._words(false[rows])
        joined = self.model.join(self.model.read(states), mask, regions[at])
        near = scale * (self.model.pooled_texts(states, mask) * shown[at]).sum(dim=1)
        wrong = self.model.matches(joined.fused).float() + near.float()
        return F.softplus(wrong - right[at]).mean()

    def _answer(self, rng: np.random.Generator) -> Tensor:
        material = self.material
        sources = np.unique(material.sources)
        source = rng.choice(sources, self.recipe.questions)
        rows = np.array([rng.choice(np.flatnonzero(material.sources == one)) for one in source])
        target = torch.tensor([int(rng.choice(material.answers[row])) for row in rows], device=self.device)
        tokens = material.photos.draw(material.question_photo[rows], rng).to(self.device)
        states, mask = self._words(material.questions[rows])
        regions = self.model.see(F.dropout(tokens, self.recipe.token_dropout))
        joined = self.model.join(self.model.read(states), mask, regions)
        return F.cross_entropy(self.model.answers(joined.fused).float(), target, label_smoothing=self.recipe.smoothing)

    def _caption(self, captions: Numbers, regions: Tensor) -> Tensor:
        said = [self.material.said[row] for row in captions]
        words = np.full((len(said), max(len(row) for row in said)), PAD, np.int64)
        for place, row in enumerate(said):
            words[place, : len(row)] = row
        given = torch.from_numpy(words).to(self.device)
        logits = self.model.decoder(given[:, :-1], regions).float()
        return F.cross_entropy(
            logits.flatten(0, 1), given[:, 1:].flatten(), ignore_index=PAD, label_smoothing=self.recipe.smoothing
        )

    def _masked(self, rng: np.random.Generator) -> Tensor:
        material = self.material
        rows = rng.choice(len(material.masked), self.recipe.masked)
        states, mask = material.lines.batch(material.masked[rows])
        states, mask = states.to(self.device), mask.to(self.device)
        tokens = material.photos.draw(material.masked_photo[rows], rng).to(self.device)
        joined = self.model.join(self.model.read(states), mask, self.model.see(tokens))
        target = np.full(tuple(mask.shape), -1, np.int64)
        for place, row in enumerate(rows):
            own = material.masked_words[row]
            target[place, : len(own)] = own
        wanted = torch.from_numpy(target).to(self.device)
        asked = wanted >= 0
        logits = self.learner.masked_head(joined.words[asked]).float()
        return F.cross_entropy(logits, wanted[asked], label_smoothing=self.recipe.smoothing)


def _keep(shape: Any, share: float, device: torch.device) -> Tensor | None:
    """A mask (n, s), True with probability ``1 - share``; the first state of a row always stays."""
    if not share:
        return None
    kept = torch.rand(tuple(shape), device=device) >= share
    kept[:, 0] = True
    return kept


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
