"""Films that show the same: one that was encoded again, made smaller, or cut out of a longer one.

The vectors of their moments propose how one lies along the other: each pair of moments that are alike votes for the
time from the one to the other.  Then frames of both are compared at the same places, by their pixels.  What is kept is
at least as long and as large as what it stands for, and has sound where that has: else nothing is grouped.  What is
heard is not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import ImageError
from mmsearch.manage.standing_in import stand_ins
from mmsearch.media.filesystem import open_regular
from mmsearch.media.part_picture import Place, upright_part
from mmsearch.media.pixel_match import DETAIL, Sketch, alike, sketch_of
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel
from mmsearch.types import Film, Found, Ids, Vectors

COSINE = 0.75  # least, of moments that may show the same: as of photos that are proposed by their vectors
PROBES = 8  # of the longest moments of a film, looked for in others …
HITS = 0.5  # … and the share of them that must be found there before the films are laid on each other
NEAR_MS = 2_500  # by which votes for one place may differ: moments begin at other frames in another encoding
COVERED = 0.8  # of the shorter film, that must lie on moments like its own
LOOKED = 5  # frames compared by their pixels, over the length of the shorter film …
SEEN = 0.6  # … and the share of them that must be alike
SPARE_MS = 1_000  # by which what is kept may be shorter: the end of a file is cut a little by some programs
SHIFTS_MS = (0, -400, 400)  # tried around a place, for frames that move
STEP_MS = 400  # from one place to the next where a film of one moment is looked for in a longer one


class Content(Protocol):
    """What is known of a film."""

    @property
    def vector(self) -> int: ...

    @property
    def pixels(self) -> int: ...

    @property
    def film(self) -> Film | None: ...


class Files(Protocol):
    """The files of contents that are as they were indexed."""

    def of(self, row: int) -> tuple[Found, ...]: ...

    def leave(self, row: int, reason: str) -> None:
        """Leave them alone from now on."""
        ...


@dataclass(frozen=True)
class _Moments:
    """A film as its moments."""

    row: int
    film: Film
    pixels: int
    vectors: Vectors  # (n, dim)
    starts: NDArray[np.int64]  # (n,) milliseconds
    ends: NDArray[np.int64]

    @property
    def probes(self) -> NDArray[np.int64]:
        """Which moments it is looked for by: the longest ones."""
        longest = np.argsort(self.starts - self.ends, kind="stable")[:PROBES]
        return longest.astype(np.int64)


def same_films(
    rows: Sequence[int],
    store: Store,
    model: StoredModel,
    contents: Sequence[Content],
    files: Files,
    max_megapixels: float,
) -> Ids:
    """For each film, at ``rows`` of ``contents``, the row of the best one that shows it, or its own; (n,)."""
    films = _read(rows, store, model, contents) if len(rows) > 1 else []
    films.sort(key=lambda one: (-one.film.duration_ms, -one.pixels, one.row))
    frames = _Frames(files, max_megapixels)
    return stand_ins(rows, films, lambda best, one: _holds(best, one) and _shows(best, one, frames))


def _read(rows: Sequence[int], store: Store, model: StoredModel, contents: Sequence[Content]) -> list[_Moments]:
    parts = store.parts([contents[row].vector for row in rows], model)
    found = []
    for row in rows:
        one = contents[row]
        assert one.film is not None
        own = [part for part in parts.get(one.vector, ()) if part.vector >= 0 and part.start_ms is not None]
        numbers = [part.vector for part in own] or [one.vector]  # one moment is the whole film
        starts = [part.start_ms or 0 for part in own] or [0]
        ends = [part.end_ms or 0 for part in own] or [one.film.duration_ms]
        vectors = store.vectors(np.array(numbers, np.int64), model.dim)
        found.append(_Moments(row, one.film, one.pixels, vectors, np.array(starts), np.array(ends)))
    return found


def _holds(best: _Moments, other: _Moments) -> bool:
    """Whether nothing is lost that can be told beforehand, and the moments of ``other`` are in ``best``."""
    enough = best.film.duration_ms + SPARE_MS >= other.film.duration_ms and best.pixels >= other.pixels
    if not enough or (other.film.audio and not best.film.audio):
        return False
    probes = other.vectors[other.probes]
    hits = (probes @ best.vectors.T).max(axis=1) >= COSINE
    return bool(hits.mean() >= HITS)


def _shows(best: _Moments, other: _Moments, frames: _Frames) -> bool:
    """Whether ``other`` lies along ``best`` and frames of both are alike there."""
    shift = _shift(best, other)
    if shift is None:
        return False
    return any(_shows_at(best, other, place, frames) for place in _places(best, other, shift))


def _places(best: _Moments, other: _Moments, shift: int) -> list[int]:
    """Milliseconds that may lead from ``other`` to the same frame of ``best``, the likeliest first.

    A film that is one moment may be cut out of a longer one: votes tell where moments of that begin, not where it does.
    """
    if len(other.starts) > 1:
        return [shift]
    last = max(0, best.film.duration_ms - other.film.duration_ms) + SPARE_MS
    near = range(-NEAR_MS // STEP_MS + 1, NEAR_MS // STEP_MS + 1)
    places = (shift + STEP_MS * number for number in sorted(near, key=abs))
    return [place for place in places if -SPARE_MS <= place <= last]


def _shows_at(best: _Moments, other: _Moments, shift: int, frames: _Frames) -> bool:
    length = other.film.duration_ms
    times = [round(length * (number + 0.5) / LOOKED) for number in range(LOOKED)]
    seen, left = 0, LOOKED
    for time in times:
        left -= 1
        frame = frames.at(other.row, time)
        if frame is not None:
            looks = (frames.at(best.row, max(0, time + shift + more)) for more in SHIFTS_MS)
            seen += any(look is not None and alike(look, frame) for look in looks)
        if seen + left < SEEN * LOOKED:
            return False
    return True


def _shift(best: _Moments, other: _Moments) -> int | None:
    """Milliseconds from a moment of ``other`` to the same one of ``best``; None where too little of it lies there."""
    pairs = np.argwhere(other.vectors @ best.vectors.T >= COSINE)
    if not len(pairs):
        return None
    own, their = pairs[:, 0], pairs[:, 1]
    votes = best.starts[their] - other.starts[own]
    lengths = np.minimum(other.ends[own] - other.starts[own], best.ends[their] - best.starts[their])
    candidates = np.unique(votes)
    near = np.abs(votes[None] - candidates[:, None]) <= NEAR_MS  # (candidates, pairs)
    for place in np.argsort(-(near * lengths).sum(axis=1), kind="stable")[:3].tolist():
        shift = int(candidates[place])
        if _covered(best, other, own, their, shift) >= COVERED * max(1, other.film.duration_ms):
            return shift
    return None


def _covered(best: _Moments, other: _Moments, own: Ids, their: Ids, shift: int) -> int:
    """Milliseconds of ``other`` that lie on a moment like its own."""
    starts = np.maximum(other.starts[own], best.starts[their] - shift - NEAR_MS)
    ends = np.minimum(other.ends[own], best.ends[their] - shift + NEAR_MS)
    covered = 0
    for number in np.unique(own):
        spans = [(int(a), int(b)) for a, b in zip(starts[own == number], ends[own == number], strict=True) if b > a]
        reached = -1
        for start, end in sorted(spans):
            covered += max(0, end - max(start, reached))
            reached = max(reached, end)
    return covered


class _Frames:
    """Frames of films for comparison, each read once."""

    def __init__(self, files: Files, max_megapixels: float) -> None:
        self._files, self._limit = files, max_megapixels
        self._known: dict[tuple[int, int], Sketch | None] = {}

    def at(self, row: int, at_ms: int) -> Sketch | None:
        """None where it cannot be read."""
        key = row, at_ms
        if key not in self._known:
            self._known[key] = self._read(row, at_ms)
        return self._known[key]

    def _read(self, row: int, at_ms: int) -> Sketch | None:
        there = self._files.of(row)
        if not there:
            return None
        path = there[0].path
        try:
            with open_regular(path) as file:
                return sketch_of(upright_part(file, path, Place(0, at_ms), 2 * DETAIL, self._limit, enlarge=False))
        except ImageError as error:
            self._files.leave(row, error.reason)
        except OSError as error:
            self._files.leave(row, error.strerror or str(error))
        return None
