"""Vectors to places on a plane, near ones near each other, by PaCMAP: own code after the paper.

Wang, Huang, Rudin and Shaposhnik, "Understanding how dimension reduction tools work", JMLR 22 (2021).  Pairs of near,
of middling and of far points pull and push on each other; what a pair weighs changes over three phases.  The package
``pacmap`` is not used: it wants faiss-cpu, whose files lie in the same folder as those of faiss-gpu and replace them.

Only ``SAMPLE`` points are laid out; all others are placed among them (``Placer``), which takes far less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss as _stubbed
import numpy as np
from numpy.typing import NDArray

from mmsearch.types import Ids, Vectors

faiss: Any = _stubbed

Plane = NDArray[np.float32]  # (n, 2)
Told = Callable[[int, int], None]  # how many steps are done, and of how many

SAMPLE = 50_000  # points that are laid out; the time grows with it, and a screen shows no more
LEAST = 10  # points below which a map says nothing

BLOCK = 8192  # rows worked on at once, so that what they need stays near the processor
TIED = 4  # nearest laid-out points that place another one
LISTS, PROBES = 256, 8  # of the inverted file that finds them
MANY = 20_000  # points to place from which an inverted file pays


@dataclass(frozen=True)
class LayoutConfig:
    """The constants of the paper."""

    dims: int = 100  # principal components that distances are measured in
    near: int = 10  # nearest neighbours that a point is tied to
    looked_at: int = 60  # nearest ones among which these are chosen, by distances scaled to each point's surroundings
    middling: int = 5  # points tied to it so that the whole keeps its shape
    far: int = 20  # points that it is kept away from
    phases: tuple[int, int, int] = (100, 100, 250)  # steps
    rate: float = 1.0  # of Adam
    seed: int = 0


class Space:
    """The principal components of vectors, in which all distances are measured."""

    def __init__(self, mean: Vectors, axes: Vectors) -> None:
        self.mean, self.axes = mean, axes  # (dim,) and (dim, dims)

    @classmethod
    def fitted(cls, vectors: Vectors, dims: int = LayoutConfig.dims) -> Space:
        """That of ``vectors`` (n, dim), of at most ``dims`` components."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        spread = np.zeros((vectors.shape[1],) * 2)
        for start in range(0, len(vectors), BLOCK):
            block = vectors[start : start + BLOCK] - mean
            spread += block.T @ block
        axes = np.linalg.eigh(spread)[1][:, ::-1][:, :dims]  # the widest first
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])  # eigh gives either sign
        return cls(mean.astype(np.float32), np.ascontiguousarray(axes, np.float32))

    def of(self, vectors: Vectors) -> Vectors:
        """Vectors (n, dim) in this space: (n, dims)."""
        return np.ascontiguousarray((vectors - self.mean) @ self.axes)


def lay_out(points: Vectors, config: LayoutConfig | None = None, told: Told = lambda done, total: None) -> Plane:
    """Places (n, 2) of points (n, dims) of a ``Space``; the same for the same points and seed.

    ``told`` is called after each of the steps.  Raises ValueError for fewer than ``LEAST`` points.
    """
    config = config or LayoutConfig()
    if len(points) < LEAST:
        raise ValueError(f"{len(points)} points are too few")
    rng = np.random.default_rng(config.seed)
    near = _near(points, config)
    middling = _middling(points, config, rng)
    far = _far(near, config, rng)
    return _moved(points, near, middling, far, config, told)


def _near(points: Vectors, config: LayoutConfig) -> NDArray[np.int32]:
    """The points that each is tied to, (n, near): the nearest by distance / (own spread * the other's spread)."""
    count = min(config.near, max(2, len(points) // 5))
    squared, found = nearest(points, points, min(config.looked_at, len(points) - 1) + 1)
    squared, found = _without_self(squared, found)
    spread = np.maximum(np.sqrt(np.maximum(squared[:, 3:6], 0)).mean(axis=1), 1e-10)
    scaled = squared / (spread[:, None] * spread[found])
    chosen = np.argsort(scaled, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(found, chosen, axis=1).astype(np.int32)


def nearest(among: Vectors, points: Vectors, count: int) -> tuple[Vectors, Ids]:
    """Squared distances and rows of the ``count`` nearest of ``among`` to each point, compared one by one."""
    index = faiss.IndexFlatL2(among.shape[1])
    index.add(among)
    squared, found = index.search(points, count)
    return squared, found


def _without_self(squared: Vectors, found: Ids) -> tuple[Vectors, Ids]:
    """One column less: each point itself goes, or where many equal ones hide it the last column."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(found), found.shape[1] - 1)
    return squared[~own].reshape(shape), found[~own].reshape(shape)


def _middling(points: Vectors, config: LayoutConfig, rng: np.random.Generator) -> NDArray[np.int32]:
    """For each point, ``middling`` times the second nearest of six that are drawn."""
    pairs = np.empty((len(points), config.middling), np.int32)
    for start in range(0, len(points), BLOCK // 4):
        rows = np.arange(start, min(start + BLOCK // 4, len(points)))
        for column in range(config.middling):
            drawn = _others(rng, rows, len(points), 6)
            apart = points[drawn] - points[rows, None]
            second = np.argsort(np.einsum("rcd,rcd->rc", apart, apart), axis=1)[:, 1]
            pairs[rows, column] = drawn[np.arange(len(rows)), second]
    return pairs


def _far(near: NDArray[np.int32], config: LayoutConfig, rng: np.random.Generator) -> NDArray[np.int32]:
    """For each point, ``far`` others that it is not tied to; drawn again where it is, a few times."""
    rows = np.arange(len(near))
    pairs = _others(rng, rows, len(near), config.far).astype(np.int32)
    for _ in range(8):
        tied = np.zeros(pairs.shape, np.bool_)
        for column in near.T:
            tied |= pairs == column[:, None]
        if not tied.any():
            break
        pairs = np.where(tied, _others(rng, rows, len(near), config.far), pairs).astype(np.int32)
    return pairs


def _others(rng: np.random.Generator, rows: Ids, of: int, count: int) -> Ids:
    """Drawn rows, none of which is the point itself: (n, count)."""
    drawn = rng.integers(of - 1, size=(len(rows), count))
    return drawn + (drawn >= rows[:, None])


def _moved(
    points: Vectors,
    near: NDArray[np.int32],
    middling: NDArray[np.int32],
    far: NDArray[np.int32],
    config: LayoutConfig,
    told: Told,
) -> Plane:
    """Gradient descent by Adam, from the first two components on.

    With d = 1 + squared distance the loss of near pairs is d / (10 + d), of middling ones d / (10,000 + d), and of far
    ones 1 / (1 + d).  So the gradient of a pair is the difference of its places times 2 w c / (c + d)^2.
    """
    place = np.ascontiguousarray(points[:, :2].T * np.float32(0.01))  # (2, n)
    if not len(place[1:]):
        place = np.vstack([place, np.zeros_like(place)])
    first, second = np.zeros_like(place), np.zeros_like(place)
    total = sum(config.phases)
    for step in range(total):
        weights = _weights(step, config)
        kinds = [(near, weights[0], 10.0), (middling, weights[1], 10_000.0), (far, -weights[2], 1.0)]
        pull = _gradient(place, [kind for kind in kinds if kind[1]])
        first += np.float32(0.1) * (pull - first)
        second += np.float32(0.001) * (pull * pull - second)
        rate = np.float32(config.rate * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1)))
        place -= rate * first / (np.sqrt(second) + np.float32(1e-7))
        told(step + 1, total)
    return np.ascontiguousarray(place.T)


def _weights(step: int, config: LayoutConfig) -> tuple[float, float, float]:
    """What near, middling and far pairs count in a step: first the whole, then the parts, then the surroundings."""
    begin, middle, _ = config.phases
    if step < begin:
        return 2.0, 1000 * (1 - step / begin) + 3 * step / begin, 1.0
    return (3.0, 3.0, 1.0) if step < begin + middle else (1.0, 0.0, 1.0)


def _gradient(place: NDArray[np.float32], kinds: list[tuple[NDArray[np.int32], float, float]]) -> NDArray[np.float32]:
    """The gradient (2, n) at these places (2, n); ``kinds`` are pairs, what they count, and c."""
    count = place.shape[1]
    total = np.zeros((2, count))
    for start in range(0, count, BLOCK):
        rows = slice(start, start + BLOCK)
        for pairs, weight, c in kinds:
            others = pairs[rows]
            apart = [axis[rows, None] - axis[others] for axis in place]
            force = apart[0] * apart[0]
            force += apart[1] * apart[1]
            force += np.float32(c + 1)
            force *= force
            np.divide(np.float32(2 * weight * c), force, out=force)
            flat = others.ravel()
            for axis, along in enumerate(apart):
                along *= force
                total[axis, rows] += along.sum(axis=1)
                total[axis] -= np.bincount(flat, along.ravel(), count)
    return total.astype(np.float32)


def spread(places: Plane) -> Plane:
    """The places with narrower gaps, (n, 2) in about [0, 1]: half by where they lie, half by how many lie before them.

    Along each axis their order stays.  A few islands far out would else leave the rest a small part of the screen.
    """
    spread = np.empty_like(places)
    for axis in range(2):
        along = places[:, axis]
        low, high = np.quantile(along, [0.001, 0.999])
        scaled = np.clip((along - low) / max(float(high - low), 1e-9), -0.05, 1.05)
        before = np.empty(len(along))
        before[np.argsort(along, kind="stable")] = np.arange(len(along)) / max(1, len(along) - 1)
        spread[:, axis] = (scaled + before) / 2
    return spread


class Placer:
    """Places points among others whose places are known: the mean of those of the nearest, the nearer the weightier."""

    def __init__(self, points: Vectors, places: Plane, many: bool) -> None:
        """``many``: so many are to be placed that looking into a part of the points pays."""
        self._places = places
        if many and len(points) >= 40 * LISTS:
            self._index = faiss.IndexIVFFlat(faiss.IndexFlatL2(points.shape[1]), points.shape[1], LISTS)
            self._index.train(points)
            self._index.nprobe = PROBES
        else:
            self._index = faiss.IndexFlatL2(points.shape[1])
        self._index.add(points)
        self._tied = min(TIED, len(points))

    def place(self, points: Vectors) -> Plane:
        """Places (n, 2) of points (n, dims)."""
        squared, found = self._index.search(points, self._tied)
        return self._mean(squared, found)

    def _mean(self, squared: Vectors, found: Ids) -> Plane:
        """Weighted by 1 / squared distance, as inverse distance weighting has it (Shepard 1968)."""
        weights = np.where(found >= 0, 1 / np.maximum(squared, 1e-9), 0)
        weights /= weights.sum(axis=1, keepdims=True)
        placed: Plane = np.einsum("nk,nkd->nd", weights, self._places[found]).astype(np.float32)
        return placed
