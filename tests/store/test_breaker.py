"""Engines that fail again and again are left alone for a while; the clock is one that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from mmsearch.errors import LibraryError, QueryError, UnreachableError
from mmsearch.store.breaker import FAILURES, LONGEST, REST, Breaker, Engines, EngineState

NOW = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("vectors", "pgvector", clock, lambda: NOW)


def ask(breaker: Breaker, wrong: BaseException | None = None) -> None:
    with breaker.asked():
        if wrong is not None:
            raise wrong


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(LibraryError, match="nobody"):
            ask(breaker, LibraryError("nobody\nanswers", code="server-away"))


def refused(breaker: Breaker) -> bool:
    wrong: UnreachableError | None = None
    try:
        ask(breaker)
    except UnreachableError as error:
        wrong = error
    if wrong is not None:
        assert (wrong.part, wrong.engine, wrong.reason) == ("vectors", "pgvector", "nobody answers")
    return wrong is not None


def test_it_is_asked_until_it_failed_three_times_in_a_row(breaker: Breaker) -> None:
    assert breaker.state == EngineState("vectors", "pgvector", None, None, None, False)
    fail(breaker, FAILURES - 1)
    assert breaker.state == EngineState("vectors", "pgvector", False, NOW, "nobody answers", False)
    assert not refused(breaker)
    fail(breaker, FAILURES - 1)
    assert not refused(breaker)
    assert breaker.state == EngineState("vectors", "pgvector", True, NOW, None, False)
    fail(breaker, FAILURES)
    assert refused(breaker)
    assert breaker.state.open


def test_the_rest_doubles_up_to_the_longest_and_ends_with_an_answer(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    rests = []
    for _ in range(6):
        began = clock.seconds
        while refused_now(breaker):
            clock.seconds += 1
        rests.append(clock.seconds - began)
        fail(breaker)
    assert rests == [REST, 10, 20, 40, LONGEST, LONGEST]
    clock.seconds += LONGEST
    ask(breaker)
    fail(breaker, FAILURES - 1)
    assert not breaker.state.open


def refused_now(breaker: Breaker) -> bool:
    """Whether one would be refused, without being the trial."""
    try:
        with breaker.asked():
            raise KeyboardInterrupt  # of nobody's making: nothing is known by it
    except KeyboardInterrupt:
        return False
    except UnreachableError:
        return True


def test_one_trial_goes_through_and_others_wait_for_what_it_says(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.seconds += REST
    with breaker.asked():
        assert refused(breaker)
    assert not refused(breaker)


def test_what_was_asked_before_the_others_failed_changes_nothing(breaker: Breaker, clock: Clock) -> None:
    late = breaker.asked()
    late.__enter__()
    fail(breaker, FAILURES)
    late.__exit__(None, None, None)
    assert refused(breaker)
    late = Breaker("vectors", "pgvector", clock).asked()
    clock.seconds += REST
    assert not refused(breaker)


@pytest.mark.parametrize("wrong", [QueryError("no"), KeyError(7), LibraryError("no rights", code="no-rights")])
def test_errors_of_other_kinds_are_answers(breaker: Breaker, wrong: Exception) -> None:
    for _ in range(2 * FAILURES):
        with pytest.raises(type(wrong)):
            ask(breaker, wrong)
    assert (breaker.state.reachable, breaker.state.open) == (True, False)


def test_a_library_in_a_folder_asks_nobody() -> None:
    assert Engines().states() == ()
    engines = Engines({"metadata": "PostgreSQL", "vectors": "Milvus"})
    assert [(one.part, one.name) for one in engines.states()] == [("metadata", "PostgreSQL"), ("vectors", "Milvus")]


def test_a_breaker_takes_its_own_measure_of_failure(breaker: Breaker) -> None:
    is_key: Callable[[BaseException], bool] = lambda error: isinstance(error, KeyError)  # noqa: E731
    for _ in range(FAILURES):
        with pytest.raises(KeyError), breaker.asked(is_key):
            raise KeyError
    assert breaker.state.open
