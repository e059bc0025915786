"""The objectives of a contrastive run, and terms of one's own that are added to them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mmsearch.training.common import losses
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainee import Trainee


@dataclass(frozen=True)
class TermInput:
    """What an extra term sees of the step that it is added to, on this process."""

    prefix: Tensor  # (b, ...) of the photos
    image_states: Tensor  # (b, s, width), detached, nothing dropped
    image_vectors: Tensor  # (b of all processes, dim), with gradient
    text_vectors: Tensor  # (b of all processes, captions, dim), with gradient


class ExtraTerm(Protocol):
    """A loss of one's own: gets the trainee, the step's randomness, and the inverse temperature; gives a scalar."""

    def __call__(self, trainee: Trainee, rng: np.random.Generator, scale: Tensor, batch: TermInput) -> Tensor: ...


def contrastive(
    images: Tensor, texts: Tensor, groups: Tensor, scale: Tensor, bias: Tensor, recipe: Recipe
) -> dict[str, Tensor]:
    """The recipe's objectives on a whole batch, each times its weight.

    ``images`` (b, d); ``texts`` (b, c, d), the c captions of each photo, over which each objective is averaged;
    ``groups`` (b,) numbers the photos; those with one number are no wrong answers to each other.
    """
    columns = texts.unbind(1)
    found: dict[str, Tensor] = {}
    if recipe.infonce:
        each = [losses.info_nce(images, column, scale, recipe.smoothing, groups) for column in columns]
        found["infonce"] = recipe.infonce * torch.stack(each).mean()
    if recipe.sigmoid:
        each = [losses.sigmoid(images, column, scale, bias, groups) for column in columns]
        found["sigmoid"] = recipe.sigmoid * torch.stack(each).mean()
    if recipe.hard:
        each = [losses.hard_negatives(images, column, scale, recipe.hard_count, groups) for column in columns]
        found["hard"] = recipe.hard * torch.stack(each).mean()
    if recipe.text_text and len(columns) > 1:
        each = [
            losses.info_nce(one, other, scale, recipe.smoothing, groups) for one, other in itertools.pairwise(columns)
        ]
        found["text_text"] = recipe.text_text * torch.stack(each).mean()
    return found
