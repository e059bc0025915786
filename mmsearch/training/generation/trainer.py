"""The training loop of a generator: same data, same trunk, a way's own objective.

All randomness of a step comes from (seed, step), so a run that was killed and goes on ends with the same bits.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmsearch.errors import TrainingError
from mmsearch.training.common import unchanged
from mmsearch.training.common.checkpoint import Run
from mmsearch.training.common.session import RunOptions, Session, checked_loss, seed_torch
from mmsearch.training.common.steps import adam, run_steps
from mmsearch.training.generation.features import Features
from mmsearch.training.generation.judging import judge
from mmsearch.training.generation.latents import LatentSpace, moments
from mmsearch.training.generation.models import Discriminator, Generator, plain_features, ridge_regression
from mmsearch.training.generation.objectives import (
    critic_loss,
    flow_matching_loss,
    generator_loss,
    gradient_penalty,
    regression_loss,
)
from mmsearch.training.generation.recipe import FLOW, LINEAR, UNMATCHED, GenerationRecipe

log = logging.getLogger(__name__)

SELECTION_METRIC = "R@10"  # of the mean of a text's samples, on the captions of every other dev photo
FEWEST = 8  # photos that something can be learned from
WEIGHTS = "generator.pt"


@dataclass
class _State:
    step: int = 0
    best: float = -1.0
    best_step: int = 0
    figures: dict[str, float] = field(default_factory=dict)


def selection_rows(dev: Features) -> NDArray[np.int64]:
    """The captions that weights are chosen on: those of photos with an even number; the others are reported on."""
    rows = dev.usable()
    even: NDArray[np.int64] = rows[dev.owner[rows] % 2 == 0]
    return even


class GeneratorTrainer:
    """One run, from features to the best weights in ``out``."""

    def __init__(self, data: Features, dev: Features, recipe: GenerationRecipe, out: Path, options: RunOptions) -> None:
        """Raises TrainingError for too little data."""
        self.data, self.dev, self.recipe, self.out, self.options = data, dev, recipe, out, options
        self.rows = data.usable()
        self.photos, starts = np.unique(data.owner[self.rows], return_index=True)
        self.starts = np.append(starts, len(self.rows))
        if len(self.photos) < FEWEST:
            raise TrainingError(f"{len(self.photos)} photos can be read; a generator wants {FEWEST} at least")
        self.space = LatentSpace.of(moments(data.vectors[self.photos], data.regions[self.photos], recipe.region_rank))
        seed_torch(recipe.seed, 0)
        sizes = data.texts.shape[1], data.words.states.shape[1], self.space.size
        self.generator = Generator(recipe, *sizes)
        self._fit_linear()
        self.discriminator = Discriminator(*sizes, recipe.width) if recipe.adversarial else None
        mismatched = 0.0 if recipe.way == UNMATCHED else recipe.mismatched
        self.mismatched = mismatched
        betas = (0.0, 0.9) if recipe.adversarial else (0.9, 0.98)
        self.critic = (
            torch.optim.AdamW(self.discriminator.parameters(), recipe.critic_lr, betas, weight_decay=0.0)
            if self.discriminator is not None else None
        )  # fmt: skip
        self.judged = selection_rows(dev)

    def _fit_linear(self) -> None:
        """The ridge regression that all ways go on from; a text of every photo and caption counts once."""
        inputs, targets = [], []
        for start in range(0, len(self.rows), 1024):
            rows = self.rows[start : start + 1024]
            inputs.append(plain_features(*self.data.captions(rows)).numpy())
            targets.append(self._latents(self.data.owner[rows]).numpy())
        weights, bias = ridge_regression(np.concatenate(inputs), np.concatenate(targets), self.recipe.ridge)
        with torch.no_grad():
            self.generator.linear.weight.copy_(torch.from_numpy(weights))
            self.generator.linear.bias.copy_(torch.from_numpy(bias))
        if self.recipe.way != LINEAR:
            self.generator.linear.requires_grad_(False)

    def _latents(self, photos: NDArray[np.int64]) -> Tensor:
        vectors, regions = (one[photos].astype(np.float32) for one in (self.data.vectors, self.data.regions))
        return self.space.encode(torch.from_numpy(vectors), torch.from_numpy(regions))

    def run(self, inputs: dict[str, Any]) -> dict[str, float]:
        """All steps; the best weights are written then, with the dev figures that are returned."""
        recipe, files = self.recipe, Run(self.out)
        if self.options.resume:
            unchanged.check(self.out, files.unfinished(), {**inputs, "generation_recipe": asdict(recipe)})
        else:
            files.start({**inputs, "generation_recipe": asdict(recipe)})
        if recipe.way == LINEAR:
            figures = self._judge()
            log.info("linear map: %s", figures)
            self._write(figures, 0)
            files.finish()
            return figures
        state = self._train()
        self._write(state.figures, state.best_step)
        files.finish()
        return state.figures

    def _train(self) -> _State:
        recipe = self.recipe
        trained = {name: p for name, p in self.generator.named_parameters() if p.requires_grad}
        betas = (0.0, 0.9) if recipe.adversarial else (0.9, 0.98)
        optimizer = adam(trained, recipe.lr, recipe.weight_decay, betas)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        session = Session(self.out, trained, optimizer, recipe.ema, recipe.clip, scaler, self.options)
        found = session.restore(self.options.resume)
        state = _State(**found["state"]) if found is not None else _State()
        if found is not None and self.discriminator is not None and self.critic is not None:
            self.discriminator.load_state_dict(found["discriminator"])
            self.critic.load_state_dict(found["critic"])
        run_steps(
            session, state, recipe, self.options,
            lambda step: self._step(step, session),
            lambda: self._evaluate(state, session),
            self._critic_state,
        )  # fmt: skip
        session.load_best()
        return state

    def _critic_state(self) -> dict[str, Any]:
        if self.discriminator is None or self.critic is None:
            return {}
        return {"discriminator": self.discriminator.state_dict(), "critic": self.critic.state_dict()}

    def _evaluate(self, state: _State, session: Session) -> None:
        with session.average.applied():
            figures = self._judge()
        if figures[SELECTION_METRIC] > state.best:
            state.best, state.best_step, state.figures = figures[SELECTION_METRIC], state.step, figures
            session.keep_best()
        session.add_event("dev", step=state.step, **figures)
        log.info("%s, step %d of %d: %s", self.recipe.way, state.step, self.recipe.steps, figures)

    def _judge(self) -> dict[str, float]:
        self.generator.eval()
        return judge(self.generator, self.space, self.dev, self.judged, self.recipe.samples)

    # -- one step -------------------------------------------------------------------------------------------------

    def _step(self, step: int, session: Session) -> dict[str, float]:
        recipe = self.recipe
        seed_torch(recipe.seed, step + 1)
        rng = np.random.default_rng([recipe.seed, step])
        self.generator.train()
        terms: dict[str, float] = {}
        if self.discriminator is not None:
            for _ in range(recipe.critic_steps):
                terms["critic"] = self._critic_step(*self._batch(rng), step)
        text, real = self._batch(rng)
        session.begin_step()
        loss = self._loss(text, real)
        terms["loss"] = round(checked_loss(loss, step), 4)
        loss.backward()
        session.end_step()
        return terms

    def _batch(self, rng: np.random.Generator) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """A caption of each of some distinct photos, and their latents."""
        photos = rng.choice(len(self.photos), min(self.recipe.batch, len(self.photos)), replace=False)
        rows = self.rows[rng.integers(self.starts[photos], self.starts[photos + 1])]
        return self.data.captions(rows), self._latents(self.photos[photos])

    def _loss(self, text: tuple[Tensor, Tensor, Tensor], real: Tensor) -> Tensor:
        if self.recipe.way == FLOW:
            return flow_matching_loss(self.generator, text, real)
        if self.discriminator is None:
            return regression_loss(self.generator, text, real)
        self.discriminator.requires_grad_(False)
        fake = self.generator.draw(*text, torch.randn(len(real), self.generator.noise))
        loss = generator_loss(self.discriminator, fake, plain_features(*text))
        if self.recipe.reconstruction:
            loss = loss + self.recipe.reconstruction * nn.functional.mse_loss(fake, real)
        self.discriminator.requires_grad_(True)
        return loss

    def _critic_step(self, text: tuple[Tensor, Tensor, Tensor], real: Tensor, step: int) -> float:
        assert self.discriminator is not None
        assert self.critic is not None
        with torch.no_grad():
            fake = self.generator.draw(*text, torch.randn(len(real), self.generator.noise))
        texts = plain_features(*text)
        self.critic.zero_grad()
        loss = critic_loss(self.discriminator, real, fake, texts, self.mismatched)
        if self.recipe.r1:
            loss = loss + self.recipe.r1 * gradient_penalty(self.discriminator, real, texts)
        value = checked_loss(loss, step)
        loss.backward()
        self.critic.step()
        return round(value, 4)

    def _write(self, figures: dict[str, float], step: int) -> None:
        sizes = [self.data.texts.shape[1], self.data.words.states.shape[1], self.space.size]
        torch.save(
            {
                "recipe": asdict(self.recipe),
                "sizes": sizes,
                "region_values": self.space.region_values,
                "generator": self.generator.state_dict(),
                "space": self.space.state_dict(),
                "dev": figures,
                "step": step,
            },
            self.out / WEIGHTS,
        )


def load(out: Path) -> tuple[Generator, LatentSpace, GenerationRecipe]:
    """What a run wrote.  Raises TrainingError where there is none."""
    try:
        found = torch.load(out / WEIGHTS, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(f"{out / WEIGHTS} cannot be read ({reason}); train a generator there first") from error
    recipe = GenerationRecipe(**found["recipe"])
    dim, word_width, size = found["sizes"]
    generator, space = Generator(recipe, dim, word_width, size), LatentSpace(dim, found["region_values"], size - dim)
    generator.load_state_dict(found["generator"])
    space.load_state_dict(found["space"])
    return generator.eval(), space, recipe
