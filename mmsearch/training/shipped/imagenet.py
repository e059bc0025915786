"""What the ImageNet classifier knows, as extra pairs of pictures and words.

Flickr8k has dogs and beaches but no coffee cups.  The classifier on top of the image tower knows 1,000 things.  Two
kinds of pairs are drawn from it.  Made-up grids: a classifier's weight vector for a class says which channels that
thing excites; added to the mean features of photos it gives features that the classifier takes for the class.  And
photos of the batch in which the classifier is sure of a class.  Their texts are the names of the class, its synonyms,
and what it is a kind of (``imagenet_names.tsv``, from WordNet), which is what teaches "fruit" or "musical
instrument".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mmsearch.training.common.losses import several_right
from mmsearch.training.contrastive.objective import TermInput
from mmsearch.training.contrastive.trainee import Trainee

NAMES = Path(__file__).parent / "imagenet_names.tsv"
TEMPLATES = ("{}", "a {}", "a photo of a {}", "the {}", "{}s")
OWN_NAME = 0.6  # how often a class is called by its own name or a synonym; else by a hypernym, near ones more often
SURE = 0.4  # probability from which on a photo of the batch counts as one of the class
MOST_PHOTOS = 64  # of those, a step


@dataclass(frozen=True)
class Names:
    """The texts of each class, in the classifier's order."""

    own: list[list[str]]  # name and synonyms
    above: list[list[str]]  # hypernyms, the nearest first

    @classmethod
    def read(cls, file: Path = NAMES) -> Names:
        rows = [line.split("\t") for line in file.read_text("utf-8").splitlines()]
        above = [[text for text in row[3].split("|") if text] for row in rows]
        return cls([[row[1], *(text for text in row[2].split("|") if text)] for row in rows], above)


def held_out(count: int, classes: int = 1000) -> NDArray[np.int64]:
    """Classes that training must not name, drawn at random with seed 0, ascending."""
    return np.sort(np.random.default_rng(0).choice(classes, count, replace=False))


def prototypes(weights: NDArray[np.float32], grids: NDArray[np.float16]) -> NDArray[np.float32]:
    """A mean feature for each class, (classes, width), from the classifier's ``weights`` (classes, width).

    The mean feature of the photos in ``grids`` (n, s, width) is moved along the class's weights until it is as long as
    a photo's features are: the classifier is 90 % sure of a class when the feature has hardly left the mean, and
    features like that drown in the spread of real grids.
    """
    photos = grids.mean(axis=1, dtype=np.float32)  # (n, width)
    mean, length = photos.mean(axis=0), np.linalg.norm(photos, axis=1).mean()
    directions = weights / np.linalg.norm(weights, axis=1, keepdims=True)

    def moved(steps: NDArray[np.float64]) -> NDArray[np.float32]:
        made: NDArray[np.float32] = (mean + steps[:, None] * directions).astype(np.float32)
        return np.maximum(made, 0)  # activations are never negative

    low, high = np.zeros(len(weights)), np.full(len(weights), 1000.0)
    for _ in range(20):  # bisection, all classes at once
        steps = (low + high) / 2
        far = np.linalg.norm(moved(steps), axis=1) > length
        low, high = np.where(far, low, steps), np.where(far, steps, high)
    return moved(high)


class ImageNetTerm:
    """An extra term of the trainer: classes and their names find each other, both ways, by softmax."""

    def __init__(
        self, classifier: tuple[NDArray[np.float32], NDArray[np.float32]], grids: NDArray[np.float16],
        classes: int, weight: float, dropout: float, without: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        """``classifier`` is weights (1000, width) and bias (1000,); ``grids`` (n, s, width) the states of some photos
        before training; ``classes`` of the 1,000 come in each step.  Classes in ``without`` are never shown."""
        self._grids, self._classes, self._weight, self._dropout = grids, classes, weight, dropout
        self._features = prototypes(classifier[0], grids)
        self._classifier = torch.from_numpy(classifier[0]), torch.from_numpy(classifier[1])
        self.names = Names.read()
        known = np.arange(len(self._features))
        self._known = known if without is None else np.setdiff1d(known, without)
        self._valid = [set(own) | set(above) for own, above in zip(self.names.own, self.names.above, strict=True)]

    def made_up(self, classes: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """A grid for each class, (n, s, width): its features, spread over the grid as those of some photo are."""
        photos = self._grids[rng.integers(0, len(self._grids), len(classes))].astype(np.float32)
        spread = photos - photos.mean(axis=1, keepdims=True)
        return torch.from_numpy(np.maximum(spread + self._features[classes, None], 0))

    def __call__(self, trainee: Trainee, rng: np.random.Generator, scale: Tensor, batch: TermInput) -> Tensor:
        classes = rng.choice(self._known, min(self._classes, len(self._known)), replace=False)
        weights, bias = (part.to(scale.device) for part in self._classifier)
        states = batch.image_states.float()
        sure, guesses = (states.mean(dim=1) @ weights.T + bias).softmax(dim=1).max(dim=1)
        seen = guesses.cpu().numpy()
        photos = np.flatnonzero((sure > SURE).cpu().numpy() & np.isin(seen, self._known))[:MOST_PHOTOS]
        grids = torch.cat([self.made_up(classes, rng).to(scale.device), states[torch.from_numpy(photos)]])
        classes = np.concatenate([classes, seen[photos]])
        chosen = [self._name(number, rng) for number in classes]
        texts = [TEMPLATES[rng.integers(len(TEMPLATES))].format(name) for name in chosen]
        right = torch.tensor([[name in self._valid[number] for name in chosen] for number in classes])
        images = trainee.image_pool(F.dropout(grids, self._dropout))
        return self._weight * several_right(
            images, encode(trainee, texts, self._dropout), scale, right.to(scale.device)
        )

    def _name(self, number: int, rng: np.random.Generator) -> str:
        own, above = self.names.own[number], self.names.above[number]
        if not above or rng.random() < OWN_NAME:
            return own[rng.integers(len(own))]
        return above[min(int(rng.exponential(2.0)), len(above) - 1)]


def encode(trainee: Trainee, texts: list[str], dropout: float = 0.0) -> Tensor:
    """Texts through the whole text tower, unit rows (n, dim), with gradient in its trained part."""
    ids = trainee.tokenize(texts).to(trainee.log_scale.device)
    mask = trainee.token_mask(ids)
    with torch.no_grad():
        prefix = trainee.text_prefix(ids, mask)
    return trainee.text_pool(F.dropout(trainee.text_states(prefix, mask), dropout), mask, ids)


@torch.no_grad()
def unseen_accuracy(trainee: Trainee, term: ImageNetTerm, classes: NDArray[np.int64], each: int = 4) -> float:
    """Percentage of made-up grids, ``each`` for every class, that are nearest to the name of their own class among the
    names of ``classes``; a name is the mean of three templates."""
    names = [term.names.own[number][0] for number in classes]
    texts = torch.stack([encode(trainee, [form.format(name) for name in names]) for form in TEMPLATES[:3]]).mean(dim=0)
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(len(classes)), each)
    images = trainee.image_pool(term.made_up(classes[owner], rng).to(texts.device))
    found = (images @ F.normalize(texts, dim=-1).T).argmax(dim=1).cpu().numpy()
    return float(100 * (found == owner).mean())
