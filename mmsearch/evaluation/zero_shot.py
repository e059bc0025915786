"""Which of some classes a photo belongs to, by the names of the classes alone (CLIP, Radford et al. 2021)."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder
from mmsearch.errors import SourceError
from mmsearch.evaluation.metrics import bootstrap
from mmsearch.media.discover import walk
from mmsearch.types import Found, Skipped, Vectors

# A few of the 80 templates that CLIP was measured with on ImageNet, those that suit any kind of thing.
PROMPTS = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a good photo of a {}.",
    "a bad photo of a {}.",
    "a close-up photo of a {}.",
    "a photo of a small {}.",
    "a photo of a large {}.",
)
CUTOFFS = (1, 5)
CONFUSIONS = 10  # pairs that are reported


@dataclass(frozen=True)
class Class:
    """One class of photos."""

    name: str
    keys: tuple[str, ...]  # names of folders, or what file names start with
    texts: tuple[str, ...]  # its name and the synonyms, as they are put into the prompts


def label(classes: Sequence[Class], images: Path) -> tuple[list[tuple[Found, int]], list[Skipped]]:
    """The photos below a folder, each with the number of its class in ``classes``; and those that have none.

    The nearest folder around a photo, below ``images``, whose name is a key decides.  A photo directly in ``images``
    belongs to the longest key that its file name starts with, where ``_``, ``-``, ``.`` or a digit follows.
    Raises SourceError when there is no such folder, or no photo has a class.
    """
    if not images.is_dir():
        raise SourceError(f"{images}: no such folder")
    number_of = {_normal(key): number for number, one in enumerate(classes) for key in one.keys}
    longest = sorted(number_of, key=len, reverse=True)
    labelled: list[tuple[Found, int]] = []
    skipped: list[Skipped] = []
    for item in walk(str(images)):
        if isinstance(item, Skipped):
            skipped.append(item)
            continue
        *folders, name = map(_normal, Path(os.path.relpath(item.path, images)).parts)
        keys = reversed(folders) if folders else (key for key in longest if _starts(name, key))
        key = next((key for key in keys if key in number_of), None)
        if key is not None:
            labelled.append((item, number_of[key]))
        else:
            skipped.append(Skipped(item.path, f"no class is named like its {'folder' if folders else 'file'}"))
    if not labelled:
        raise SourceError(
            f"none of the {len(skipped)} photos in {images} has a class: the key of a class must be the name of a "
            "folder there, or what file names start with"
        )
    return labelled, skipped


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)  # macOS takes letters and their accents apart


def _starts(name: str, key: str) -> bool:
    following = name[len(key) : len(key) + 1]
    return name.startswith(key) and (following in tuple("_-.") or following.isdigit())


def class_vectors(encoder: Encoder, classes: Sequence[Class]) -> Vectors:
    """The vector of each class, the mean of its texts in all ``PROMPTS``, scaled to length 1: (classes, dim)."""
    rows = np.empty((len(classes), encoder.card.dim), np.float32)
    for row, one in zip(rows, classes, strict=True):
        texts = [prompt.replace("{}", text) for text in one.texts for prompt in PROMPTS]
        mean = encoder.encode_texts(texts).mean(axis=0)
        row[:] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return rows


def figures(scores: NDArray[np.float32], right: NDArray[np.int64], classes: Sequence[Class]) -> dict[str, Any]:
    """Accuracies as percentages, from ``scores`` (photos, classes) and each photo's class ``right`` (photos,).

    ``top-1`` and ``top-5`` with the 95 % ``intervals`` (photos drawn with replacement), ``mean_per_class`` (of the
    classes that have photos, each counting the same), ``per_class``, and in ``confusions`` the classes that were most
    often taken for another.  A tie counts against the right class.
    """
    found = ranks(scores, right)
    hits = np.column_stack([found <= k for k in CUTOFFS]).astype(np.float64)
    bounds = np.round(100 * bootstrap(hits, np.arange(len(right))), 2).T.tolist()
    names = [f"top-{k}" for k in CUTOFFS]
    shares = 100 * hits.mean(axis=0)
    per_class = [
        {"class": one.name, "photos": int(its.sum()), "top-1": round(100 * float(hits[its, 0].mean()), 2)}
        for number, one in enumerate(classes)
        if (its := right == number).any()
    ]
    present = np.unique(right)
    return {
        **{name: round(float(share), 2) for name, share in zip(names, shares, strict=True)},
        "mean_per_class": round(100 * float(np.mean([hits[right == number, 0].mean() for number in present])), 2),
        "intervals": dict(zip(names, bounds, strict=True)),
        "photos": len(right),
        "classes": len(classes),
        "confusions": list(_confusions(scores, right, classes)),
        "per_class": per_class,
    }


def ranks(scores: NDArray[np.float32], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rank (1 = first) of each photo's own class: (photos,)."""
    of_right = scores[np.arange(len(right)), right]
    found: NDArray[np.int64] = (scores >= of_right[:, None]).sum(axis=1)
    return found


def _confusions(
    scores: NDArray[np.float32], right: NDArray[np.int64], classes: Sequence[Class]
) -> Iterator[dict[str, Any]]:
    """The most mistaken pairs first; of equal ones in the order of the classes."""
    pairs = Counter((int(true), int(first)) for true, first in zip(right, scores.argmax(axis=1), strict=True))
    wrong = sorted((-photos, true, first) for (true, first), photos in pairs.items() if true != first)
    for photos, true, first in wrong[:CONFUSIONS]:
        yield {"class": classes[true].name, "taken_for": classes[first].name, "photos": -photos}
