"""How good imagined pictures are: do they find their picture, do they look like real ones, do they differ."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.training.generation.features import Features
from mmsearch.training.generation.latents import LatentSpace
from mmsearch.training.generation.models import Generator
from mmsearch.types import Vectors

AT_ONCE = 512  # texts in one run


@torch.no_grad()
def draw_latents(generator: Generator, features: Features, rows: NDArray[np.int64], samples: int, seed: int) -> Tensor:
    """Latents (n, samples, size) of some captions; a way without noise gives one sample whatever is asked for."""
    samples = samples if generator.noise else 1
    noise = torch.from_numpy(
        np.random.default_rng(seed).standard_normal((len(rows), samples, generator.noise), np.float32)
    )
    found = torch.empty(len(rows), samples, generator.size)
    for start in range(0, len(rows), AT_ONCE):
        text = features.captions(rows[start : start + AT_ONCE])
        for number in range(samples):
            found[start : start + AT_ONCE, number] = generator.draw(*text, noise[start : start + AT_ONCE, number])
    return found


def vectors_of(space: LatentSpace, latents: Tensor) -> Vectors:
    """Latents (n, samples, size) to unit vectors (n, samples, dim)."""
    flat = space.vectors(latents.flatten(0, 1)).numpy()
    rows: Vectors = flat.reshape(*latents.shape[:2], -1)
    return rows


def mean_vectors(imagined: Vectors) -> Vectors:
    """(n, samples, dim) to the unit mean of each text's samples (n, dim)."""
    means = imagined.mean(axis=1)
    rows: Vectors = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return rows


def diversity(imagined: Vectors) -> float:
    """Mean of one minus the cosine between two samples of a text; 0 where there is one sample.

    ``imagined`` is (n, samples, dim) with unit rows.
    """
    samples = imagined.shape[1]
    if samples < 2:
        return 0.0
    squared = np.square(imagined.sum(axis=1, dtype=np.float64)).sum(axis=1)  # of all pairs, each sample with itself too
    return float(1 - ((squared - samples) / (samples * (samples - 1))).mean())


def frechet_distance(one: Vectors, other: Vectors) -> float:
    """Between Gaussians fitted to two sets of rows (n, dim) and (m, dim) (Dowson and Landau 1982).

    On features of pictures it is called FID (Heusel et al. 2017); here the features are the model's own vectors, so the
    figure compares with no published one.  Fewer rows than dimensions are biased upwards, alike for all that are
    compared at the same number of rows.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, axes = np.linalg.eigh(first)
    root = (axes * np.sqrt(np.maximum(values, 0))) @ axes.T
    crossed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    apart = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(apart + np.trace(first) + np.trace(second) - 2 * crossed)


def modality_gap(one: Vectors, other: Vectors) -> float:
    """Distance between the means of unit rows (Liang et al. 2022, arXiv:2203.02053)."""
    return float(np.linalg.norm(one.mean(axis=0, dtype=np.float64) - other.mean(axis=0, dtype=np.float64)))


def recall(queries: Vectors, gallery: Vectors, owner: NDArray[np.int64]) -> dict[str, float]:
    """R@1 and R@10 in percent of queries (n, dim), each with one right row of the gallery (p, dim); ties count
    against it."""
    scores = queries @ gallery.T
    ranks = (scores >= scores[np.arange(len(owner)), owner][:, None]).sum(axis=1)
    return {f"R@{k}": round(100 * float((ranks <= k).mean()), 2) for k in (1, 10)}


def judge(
    generator: Generator, space: LatentSpace, dev: Features, rows: NDArray[np.int64], samples: int, seed: int = 0
) -> dict[str, float]:
    """Figures of one generator on these captions of dev; the gallery is all of dev."""
    imagined = vectors_of(space, draw_latents(generator, dev, rows, samples, seed))
    gallery, owner = dev.vectors.astype(np.float32), dev.owner[rows]
    return {
        **recall(mean_vectors(imagined), gallery, owner),
        "one sample R@1": recall(imagined[:, 0], gallery, owner)["R@1"],
        "cosine": round(float((imagined[:, 0] * gallery[owner]).sum(axis=1).mean()), 4),
        "diversity": round(diversity(imagined), 4),
        "frechet": round(frechet_distance(imagined[:, 0], gallery), 4),
    }
