"""Engines that fail again and again are not asked for a while, and what is known of each is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from mmsearch.errors import LibraryError, UnreachableError
from mmsearch.store.limit import OVER
from mmsearch.types import PARTS

FAILURES = 3  # in a row, after which an engine is not asked …
REST, LONGEST = 5.0, 60.0  # … for so many seconds, then twice as many and so on, up to the longest
LOST = "server-away"  # code of what says that the store's own server is
AWAY = (LOST, "vectors-away", "pool", OVER)  # codes of what says that a server does not answer
METADATA = "metadata"


@dataclass(frozen=True)
class EngineState:
    """What is known in this process of an engine that a library asks."""

    part: str  # of the library, that it has: "metadata", "vectors", "words", "tokens"
    name: str  # such as "pgvector"
    reachable: bool | None  # None where it was not asked yet
    since: datetime | None  # when it was found to be so
    error: str | None  # what it did last where it is not reachable
    open: bool  # whether it is left alone at the moment


def is_away(error: BaseException) -> bool:
    """Whether an error says that a server does not answer, or not in time."""
    return isinstance(error, LibraryError) and error.code in AWAY


class Breaker:
    """Lets questions through to one engine as long as it answers.  Safe from several threads.

    After ``FAILURES`` failures in a row nobody is let through for ``REST`` seconds; then one question is, as a trial:
    if it fails the rest doubles, if not, all are let through again.
    """

    def __init__(
        self, part: str, name: str, clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:  # fmt: skip
        """``part`` is what of the library it has; ``clock`` counts seconds, and ``now`` tells people when."""
        self.part, self.name = part, name
        self._clock, self._now = clock, now
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._rest = 0.0  # seconds of the last rest; 0 where there is none
        self._until = 0.0  # of the clock
        self._trying = False
        self._reachable: bool | None = None
        self._since: datetime | None = None
        self._error: str | None = None

    @contextmanager
    def asked(self, fails: Callable[[BaseException], bool] = is_away) -> Iterator[None]:
        """What asks the engine, in here; ``fails`` tells errors that say that it does not answer.

        Raises UnreachableError where it is not let through.
        """
        trial = self._enter()
        try:
            yield
        except Exception as error:
            if fails(error):
                self._failed(error, trial)
            elif is_away(error):  # another server, which was asked on the way
                self._unknown(trial)
            else:
                self._answered(trial)  # it said that something else is wrong
            raise
        except BaseException:  # whoever asked was stopped
            self._unknown(trial)
            raise
        self._answered(trial)

    def _unknown(self, trial: bool) -> None:
        """A question came to no end: another one may be the trial."""
        with self._lock:
            self._trying = self._trying and not trial

    def _enter(self) -> bool:
        """Whether this is a trial.  Raises UnreachableError."""
        with self._lock:
            if not self._rest:
                return False
            if self._trying or self._clock() < self._until:
                raise UnreachableError(self.part, self.name, self._error or "it failed again and again")
            self._trying = True
            return True

    def _failed(self, error: BaseException, trial: bool) -> None:
        with self._lock:
            self._failures += 1
            self._become(False)
            self._error = " ".join(str(error).split())
            if trial:
                self._trying = False
                self._rest = min(2 * self._rest, LONGEST)
            elif self._rest or self._failures < FAILURES:  # others that were on their way count once
                return
            else:
                self._rest = REST
            self._until = self._clock() + self._rest

    def _answered(self, trial: bool) -> None:
        with self._lock:
            if self._rest and not trial:  # it was asked before the others failed
                return
            self._failures, self._rest, self._trying, self._error = 0, 0.0, False, None
            self._become(True)

    def _become(self, reachable: bool) -> None:
        if self._reachable is not reachable:
            self._reachable, self._since = reachable, self._now()

    @property
    def state(self) -> EngineState:
        with self._lock:
            return EngineState(self.part, self.name, self._reachable, self._since, self._error, self._rest > 0)


class Engines:
    """What a library asks, a breaker for each; one that is in a folder asks nobody."""

    def __init__(self, names: dict[str, str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """``names`` are those of the engines of the parts: "metadata", "vectors", "words", "tokens"."""
        self._names = names or {}
        breakers = {part: Breaker(part, name, clock) for part, name in self._names.items()}
        own = [breakers.get(part) or Breaker(part, part, clock) for part in (METADATA, *PARTS)]
        self.metadata, self.vectors, self.words, self.tokens = own

    @property
    def breakers(self) -> tuple[Breaker, ...]:
        """Those of engines that are on servers."""
        every = (self.metadata, self.vectors, self.words, self.tokens)
        return tuple(one for one in every if one.part in self._names)

    def states(self) -> tuple[EngineState, ...]:
        """What is known of each."""
        return tuple(one.state for one in self.breakers)
