"""How likely it is that a library holds what a query asks for, when its best picture has a certain score.

A cosine has no zero: what is a good score differs from query to query.  The logistic map here was fitted on texts over
a library that shows what they say, against the same texts over the library without any picture of the things that they
name (``mmsearch/evaluation/answerable.py``), both equally often.  Beside the score it looks at how near the query
is to texts that nobody asked for: a text that is near to many is near to many pictures too; and at the share of the
hubness that was taken off, which tells short texts from long ones.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import Encoder, said
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import read_text
from mmsearch.types import Vectors

FILE = "calibration.json"  # in a model folder

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Logistic:
    """1 / (1 + exp(-(a * score + b * query's hubness + c * beta + d))): the fields are a, b, c and d."""

    score: float
    background: float  # of the query's hubness: the name is that of the JSON file, of older models too
    beta: float
    offset: float

    def __call__(self, scores: Shares, hubness: float | Shares, beta: float | Shares) -> Shares:
        """Relevance of pictures (n,) in [0, 1] from their scores (n,), the query's hubness and ``retrieval.beta``.

        The last two may be of another query each, (n,).
        """
        logits = self.score * np.asarray(scores) + self.background * hubness + self.beta * beta + self.offset
        shares: Shares = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        return shares


@dataclass(frozen=True)
class Calibration:
    """The maps of one model: for scores of the first stage, and for those after reranking."""

    first: Logistic
    typical: tuple[float, float] | None = None  # mean and spread of the cosines of a text with photos
    reranked: Logistic | None = None
    reranker: str | None = None  # its fingerprint: scores of another one mean something else

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def of(cls, encoder: Encoder) -> Calibration | None:
        """That of an encoder's model; None where it has none.  Raises ModelError for a damaged one."""
        return None if encoder.folder is None else cls.read(encoder.folder)

    @classmethod
    @functools.cache  # each search asks; the files of a model do not change
    def read(cls, folder: Path) -> Calibration | None:
        """That of a model folder; None where it has none.  Raises ModelError for a damaged one."""
        return cls.load(folder / FILE, "install mmsearch again")

    @classmethod
    def load(cls, file: Path, remedy: str, code: str = ModelError.code) -> Calibration | None:
        """That of a file; None where there is none.  Raises ModelError, which says ``remedy``, for a damaged one."""
        try:
            values = json.loads(read_text(file))
            reranked = values["reranked"]
            mean, spread = values["typical"]
            made = cls(
                Logistic(**values["first"]),
                (float(mean), float(spread)),
                Logistic(**reranked) if reranked else None,
                values["reranker"],
            )
            maps = [made.first, *([] if made.reranked is None else [made.reranked])]
            if not np.isfinite([mean, spread, *(number for one in maps for number in vars(one).values())]).all():
                raise ValueError("a number is not finite")
            return made
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise ModelError(f"{file} cannot be read: {said(error)}; {remedy}", code=code) from error


def query_hubness(query: Vectors, querybank: Vectors, nearest: int) -> float:
    """How near a query (dim,) is to its ``nearest`` texts of the querybank (m, dim): their mean cosine."""
    scores = querybank @ query
    count = min(nearest, len(scores))
    return float(np.partition(scores, -count)[-count:].mean())
