"""How well a trainee finds dev photos, and what a run gained: the rank of every query, before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.evaluation import metrics
from mmsearch.evaluation.metrics import Gain
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.common.progress import Counter
from mmsearch.training.contrastive.prefix_cache import ImageSource, TextSource
from mmsearch.training.contrastive.trainee import Trainee

AT_ONCE = 64  # photos or texts encoded together
Ranks = dict[str, Tensor]  # direction -> (queries,) int64, 1 is best; tensors, because checkpoints hold no arrays
Figures = dict[str, dict[str, float]]  # direction -> recall and MRR in percent
Gains = dict[str, dict[str, Gain]]  # direction -> "R@1", "R@5", "R@10" -> percentage points, and their interval


@dataclass(frozen=True)
class Vectors:
    """The vectors of a trainee with the weights that it has at the moment."""

    trainee: Trainee
    device: torch.device
    dtype: torch.dtype

    @torch.no_grad()
    def images(self, source: ImageSource, report: Counter | None = None) -> NDArray[np.float32]:
        """Those of all photos, (n, dim) unit rows."""
        self.trainee.module.eval()
        rows, found = np.arange(len(source)), []
        for start in range(0, len(rows), AT_ONCE):
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                states = self.trainee.image_states(source.plain(rows[start : start + AT_ONCE]))
                found.append(self.trainee.image_pool(states).float().cpu().numpy())
            if report is not None:
                report(min(start + AT_ONCE, len(rows)), len(rows))
        return np.concatenate(found)

    @torch.no_grad()
    def texts(self, source: TextSource) -> NDArray[np.float32]:
        """Those of all texts, (n, dim) unit rows."""
        self.trainee.module.eval()
        rows, found = np.arange(len(source)), []
        for start in range(0, len(rows), AT_ONCE):
            texts = source.batch(rows[start : start + AT_ONCE], self.device)
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                states = self.trainee.text_states(texts.prefix, texts.mask)
                found.append(self.trainee.text_pool(states, texts.mask, texts.ids).float().cpu().numpy())
        return np.concatenate(found)


def ranks(vectors: Vectors, pairs: Pairs, images: ImageSource, texts: TextSource, report: Counter | None) -> Ranks:
    """The rank of each caption's photo, and of each photo's best caption."""
    owner = np.repeat(np.arange(len(pairs)), [len(own) for own in pairs.texts])
    found = metrics.ranks(vectors.images(images, report), vectors.texts(texts), owner)
    return {direction: torch.from_numpy(rows) for direction, rows in found.items()}


def figures(found: Ranks) -> Figures:
    """Recall and MRR of both directions, in percent."""
    return {direction: metrics.summarize(rows.numpy()) for direction, rows in found.items()}


def gains(before: Ranks, after: Ranks, pairs: Pairs) -> Gains:
    """What recall gained in both directions, with paired intervals over photos."""
    photos = np.arange(len(pairs))
    owners = {"text_to_image": np.repeat(photos, [len(own) for own in pairs.texts]), "image_to_text": photos}
    return {
        direction: metrics.gains(before[direction].numpy(), after[direction].numpy(), owner)
        for direction, owner in owners.items()
    }


def selection_metric(found: Figures) -> tuple[float, float]:
    """What the best epoch is chosen by: text-to-image R@1, then MRR, in percent."""
    return found["text_to_image"]["R@1"], found["text_to_image"]["MRR"]
