"""How many pictures go into one run of a graph: tried with the first ones that are encoded, and remembered."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from pathlib import Path

from mmsearch.media.filesystem import atomic_write, read_text

logger = logging.getLogger(__name__)

SIZES = (1, 2, 4, 8)
ROUNDS = 4  # tries of each size, in turns; the quickest counts, because other programs may be busy
CLEAR = 0.05  # share of the time that another size must save to be taken


class Pace:
    """The number for one graph on this machine.  Safe to use from several threads."""

    def __init__(self, graph: str, usual: int, file: Path | None = None) -> None:
        """``usual`` is taken where no other one is clearly quicker.

        ``file`` remembers the numbers of many graphs, by the name ``graph`` and more; None keeps them in this process.
        """
        self._graph, self._usual, self._file = graph, usual, file
        self._took: dict[str, dict[int, list[float]]] = {}  # seconds a picture, by number
        self._chosen = {} if file is None else _read(file)
        self._lock = threading.Lock()

    def size(self, most: int) -> int:
        """How many pictures to put into a run, where there are ``most`` for each core."""
        sizes, key = self._tried(most)
        if len(sizes) == 1:
            return sizes[0]
        with self._lock:
            if key in self._chosen:
                return self._chosen[key]
            took = self._took.setdefault(key, {size: [] for size in sizes})
            return min(sizes, key=lambda size: (len(took[size]), size))

    def took(self, size: int, most: int, seconds: float) -> None:
        """A picture took so many seconds in runs of ``size``, as ``size(most)`` asked for."""
        sizes, key = self._tried(most)
        with self._lock:
            took = self._took.get(key, {})
            if key in self._chosen or size not in took:
                return
            took[size].append(seconds)
            if min(len(tries) for tries in took.values()) < ROUNDS:
                return
            best = {one: min(tries) for one, tries in took.items()}
            usual, quickest = min(self._usual, sizes[-1]), min(best, key=lambda one: best[one])
            self._chosen[key] = quickest if best[quickest] < (1 - CLEAR) * best[usual] else usual
            logger.debug(
                "%d pictures a run from now on (pictures/s by pictures a run: %s)",
                self._chosen[key],
                ", ".join(f"{one}: {1 / taken:.0f}" for one, taken in best.items()),
            )
            if self._file is not None:
                _write(self._file, {**_read(self._file), key: self._chosen[key]})

    def _tried(self, most: int) -> tuple[list[int], str]:
        """The numbers that may be tried, and the name of what is chosen among them."""
        sizes = [size for size in SIZES if size <= max(most, 1)]
        return sizes, f"{self._graph}, up to {sizes[-1]}"


def _read(file: Path) -> dict[str, int]:
    """What the file says; nothing where there is none, or it is damaged: it is only a cache."""
    try:
        facts = json.loads(read_text(file))
    except (OSError, ValueError):
        return {}
    return {key: size for key, size in facts.items() if size in SIZES} if isinstance(facts, dict) else {}


def _write(file: Path, facts: dict[str, int]) -> None:
    with contextlib.suppress(OSError):  # then it is measured again next time
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())
