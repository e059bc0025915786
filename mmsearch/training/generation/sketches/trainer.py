"""The training loop of the decoder: pixels and states first, the discriminator when they have settled.

All randomness of a step comes from (seed, step), so a run that was killed and goes on ends with the same bits.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmsearch.errors import TrainingError
from mmsearch.training.common import unchanged
from mmsearch.training.common.checkpoint import Run
from mmsearch.training.common.session import RunOptions, Session, checked_loss, seed_torch
from mmsearch.training.common.steps import adam, run_steps
from mmsearch.training.generation.sketches.data import SketchData
from mmsearch.training.generation.sketches.models import Eyes, PatchCritic, SketchDecoder
from mmsearch.training.generation.sketches.recipe import SIDE, SketchRecipe

log = logging.getLogger(__name__)

WEIGHTS = "decoder.pt"
FEWEST = 4  # photos that something can be learned from
AT_ONCE = 32  # photos of dev in memory together


@dataclass
class _State:
    step: int = 0
    figures: dict[str, float] = field(default_factory=dict)


class SketchTrainer:
    """One run, from tokens and pixels to the averaged weights in ``out``."""

    def __init__(
        self, data: SketchData, dev: SketchData, recipe: SketchRecipe, out: Path, options: RunOptions
    ) -> None:  # fmt: skip
        """Raises TrainingError for too little data."""
        if min(len(data.rows), len(dev.rows)) < FEWEST:
            raise TrainingError(
                f"{len(data.rows)} photos to learn from and {len(dev.rows)} of dev can be read; a decoder wants "
                f"{FEWEST} of each at least"
            )
        self.data, self.dev, self.recipe, self.out, self.options = data, dev, recipe, out, options
        seed_torch(recipe.seed, 0)
        _, cells, dim = data.regions.shape
        self.decoder = SketchDecoder(dim, round(cells**0.5), recipe.width).to(memory_format=torch.channels_last)
        mean, scale = data.moments()
        self.decoder.mean.copy_(mean)
        self.decoder.scale.copy_(scale)
        some = data.rows[:: max(1, len(data.rows) // recipe.linear_photos)][: recipe.linear_photos]
        starts = range(0, len(some), AT_ONCE)
        self.decoder.fit_linear((data.batch(some[start : start + AT_ONCE]) for start in starts), recipe.ridge)
        log.info("linear map fitted to %d photos", len(some))
        self.critic = PatchCritic(recipe.critic_width).to(memory_format=torch.channels_last)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), recipe.critic_lr, (0.0, 0.9))
        self.eyes = Eyes().to(memory_format=torch.channels_last)
        self.first_critic_step = round(recipe.settled * recipe.steps)

    def run(self, inputs: dict[str, Any]) -> dict[str, float]:
        """All steps; the weights are written then, with the dev figures that are returned."""
        files, facts = Run(self.out), {**inputs, "sketch_recipe": asdict(self.recipe)}
        if self.options.resume:
            unchanged.check(self.out, files.unfinished(), facts)
        else:
            files.start(facts)
        state = self._train()
        torch.save(
            {
                "recipe": asdict(self.recipe), "sizes": [self.decoder.dim, self.decoder.side],
                "decoder": self.decoder.state_dict(), "dev": state.figures,
            },
            self.out / WEIGHTS,
        )  # fmt: skip
        files.finish()
        return state.figures

    def _train(self) -> _State:
        recipe = self.recipe
        trained = {name: p for name, p in self.decoder.named_parameters() if p.requires_grad}
        optimizer = adam(trained, recipe.lr, recipe.weight_decay, (0.9, 0.99))
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        session = Session(self.out, trained, optimizer, recipe.ema, recipe.clip, scaler, self.options)
        found = session.restore(self.options.resume)
        state = _State(**found["state"]) if found is not None else _State()
        if found is not None:
            self.critic.load_state_dict(found["critic"])
            self.critic_optimizer.load_state_dict(found["critic_optimizer"])
        run_steps(
            session, state, recipe, self.options,
            lambda step: self._step(step, session),
            lambda: self._evaluate(state, session),
            lambda: {"critic": self.critic.state_dict(), "critic_optimizer": self.critic_optimizer.state_dict()},
        )  # fmt: skip
        session.keep_best()  # the average at the end: figures of dev and looks do not agree on what is best
        session.load_best()
        return state

    def _evaluate(self, state: _State, session: Session) -> None:
        with session.average.applied():
            state.figures = self.judge()
        session.add_event("dev", step=state.step, **state.figures)
        log.info("step %d of %d: %s", state.step, self.recipe.steps, state.figures)

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        """Of some photos of dev: mean absolute error of pixels, distance of states, and how many of 100 sketches are
        nearer to their own photo than to any other one, pixel by pixel."""
        rows = self.dev.rows[: self.recipe.judged]
        made, real, states = [], [], 0.0
        for start in range(0, len(rows), AT_ONCE):
            tokens, pixels = self.dev.batch(rows[start : start + AT_ONCE])
            made.append(self.decoder(tokens).clamp(0, 1))
            real.append(pixels)
            states += float(self.eyes.distance(made[-1], pixels)) * len(pixels)
        sketches, photos = torch.cat(made), torch.cat(real)
        apart = torch.cdist(F.avg_pool2d(sketches, 4).flatten(1), F.avg_pool2d(photos, 4).flatten(1))
        own = apart.argmin(dim=1) == torch.arange(len(rows))
        return {
            "pixels": round(float((sketches - photos).abs().mean()), 4),
            "states": round(states / len(rows), 4),
            "own_photo": round(100 * float(own.float().mean()), 1),
        }

    # -- one step -------------------------------------------------------------------------------------------------

    def _step(self, step: int, session: Session) -> dict[str, float]:
        recipe = self.recipe
        seed_torch(recipe.seed, step + 1)
        rng = np.random.default_rng([recipe.seed, step])
        rows = rng.choice(self.data.rows, min(recipe.batch, len(self.data.rows)), replace=False)
        tokens, real = self.data.batch(np.sort(rows))
        tokens = tokens + recipe.token_noise * self.decoder.scale * torch.randn_like(tokens)
        adversarial = step >= self.first_critic_step and recipe.adversarial > 0
        session.begin_step()
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            made = self.decoder(tokens).float()
            pixels = (made - real).abs().mean()
            left, top = rng.integers(0, SIDE - recipe.crop + 1, 2)
            across, down = slice(left, left + recipe.crop), slice(top, top + recipe.crop)
            made, real = (one[:, :, down, across].contiguous(memory_format=torch.channels_last) for one in (made, real))
            states = self.eyes.distance(made, real)
            loss = recipe.pixels * pixels + recipe.perceptual * states
            terms = {"pixels": round(float(pixels.detach()), 4), "states": round(float(states.detach()), 4)}
            if adversarial:
                self.critic.requires_grad_(False)
                opinion = -self.critic(made).float().mean()
                self.critic.requires_grad_(True)
                loss = loss + recipe.adversarial * opinion
        terms["loss"] = round(checked_loss(loss, step), 4)
        loss.backward()
        session.end_step()
        if adversarial:
            terms["critic"] = self._critic_step(real, made.detach(), step)
        return terms

    def _critic_step(self, real: Tensor, made: Tensor, step: int) -> float:
        """Hinge loss (Lim and Ye 2017) on the photos and on the sketches of this step."""
        self.critic_optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            scores = self.critic(torch.cat([real, made])).float()
            loss = F.relu(1 - scores[: len(real)]).mean() + F.relu(1 + scores[len(real) :]).mean()
        value = checked_loss(loss, step)
        loss.backward()
        self.critic_optimizer.step()
        return round(value, 4)


def load(out: Path) -> tuple[SketchDecoder, SketchRecipe, dict[str, float]]:
    """What a run wrote, and its figures of dev.  Raises TrainingError where there is none."""
    try:
        found = torch.load(out / WEIGHTS, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(f"{out / WEIGHTS} cannot be read ({reason}); train a decoder there first") from error
    recipe = SketchRecipe(**found["recipe"])
    dim, side = found["sizes"]
    decoder = SketchDecoder(dim, side, recipe.width)
    decoder.load_state_dict(found["decoder"])
    return decoder.eval(), recipe, found["dev"]
