"""The steps of a search and of an index run, for whoever listens: spans of OpenTelemetry, or a server's figures.

Nothing is imported for it.  OpenTelemetry is spoken to where the program has imported it, as whoever sets up a provider
has; where nobody listens a step costs a microsecond or two.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Hears the name of each step, its seconds, what it raised and its facts.
Listener = Callable[[str, float, BaseException | None, dict[str, Any]], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
_OTEL = "opentelemetry.trace"


class Step:
    """A step that nobody listens to."""

    def __enter__(self) -> Step:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def note(self, **facts: Any) -> None:
        """Facts of it that are known only now: numbers, texts, sequences of texts."""


_UNHEARD = Step()


class _Heard(Step):
    def __init__(self, name: str, listener: Listener | None, otel: Any, facts: dict[str, Any]) -> None:
        self._name, self._listener, self._facts = name, listener, facts
        self._span: AbstractContextManager[Any] | None = None
        self._open: Any = None
        if otel is not None:
            self._span = otel.get_tracer("mmsearch").start_as_current_span(f"mmsearch.{name}", attributes=_named(facts))

    def __enter__(self) -> Step:
        self._began = time.perf_counter()
        if self._span is not None:
            self._open = self._span.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._span is not None:
            self._span.__exit__(kind, error, trace)
        if self._listener is not None:
            self._listener(self._name, time.perf_counter() - self._began, error, self._facts)

    def note(self, **facts: Any) -> None:
        self._facts.update(facts)
        if self._open is not None:
            self._open.set_attributes(_named(facts))


def step(name: str, **facts: Any) -> Step:
    """A context manager around a step of this name, such as "retrieve".

    Facts are numbers, texts and sequences of texts; never what a person asked for, or the name of a file.
    """
    listener, otel = _LISTENER.get(), sys.modules.get(_OTEL)
    return _UNHEARD if listener is None and otel is None else _Heard(name, listener, otel, facts)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Steps in here, of this thread, are told to ``listener``."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def carried(work: Callable[P, T]) -> Callable[P, T]:
    """``work`` for other threads, whose steps belong to the step that is open now."""
    context = copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(work, *args, **kwargs)

    return call


def _named(facts: dict[str, Any]) -> dict[str, Any]:
    return {f"mmsearch.{name}": value for name, value in facts.items()}
