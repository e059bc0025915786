"""Graphs and tokenizers of models are loaded once in a process of tests: to load one takes longer than to use it.

A session of ONNX Runtime and a tokenizer are only read by their runs.  They are known by the files' inode, size and
time of change, and nothing is kept of what cannot be loaded.  What a graph made of some input is kept too, to the bit:
most tests index the same few photos.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import shared
from numpy.typing import NDArray

import mmsearch
from mmsearch.encoders.onnx import session
from mmsearch.encoders.protocol import TokenRules
from mmsearch.encoders.texts import TextEncoder

Facts = tuple[str, int, int, int]  # of a file: its path, inode, time of change, size
PACKAGE = Path(mmsearch.__file__).parent
RUNS, LARGEST = 128, 2_000_000  # runs that are kept of a graph; bytes of what goes in or comes out


@contextmanager
def kept(anywhere: bool = False, runs: bool = True) -> Iterator[None]:
    """What is loaded within is kept for the next one: of files that no test changes, or of files ``anywhere``.

    Without ``runs`` a graph runs each time.
    """
    before, before_texts = session.load, vars(TextEncoder)["load"]
    load, load_texts = getattr(before, "plain", before), getattr(before_texts.__func__, "plain", before_texts.__func__)

    def graph(files: Sequence[Path], threads: int = 0, quick: bool = False) -> Any:
        facts = _facts(files, anywhere)
        if facts is None:
            return load(files, threads, quick)
        found = _graph(load, facts, threads, quick)
        return found if runs else found.session

    def texts(cls: Any, file: Path, rules: TokenRules) -> Any:
        facts = _facts([file], anywhere)
        return load_texts(cls, file, rules) if facts is None else _texts(load_texts, cls, facts, rules)

    vars(graph)["plain"], vars(texts)["plain"] = load, load_texts
    session.load = graph
    TextEncoder.load = classmethod(texts)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        session.load = before
        TextEncoder.load = before_texts  # type: ignore[method-assign]


def _facts(files: Sequence[Path], anywhere: bool) -> tuple[Facts, ...] | None:
    """None of what is not kept."""
    lasting = (PACKAGE, *shared.FOLDERS)
    if not anywhere and not all(any(folder in file.parents for folder in lasting) for file in files):
        return None
    try:
        found = [(str(file), file.stat()) for file in files]
    except OSError:
        return None
    return tuple((name, of.st_ino, of.st_mtime_ns, of.st_size) for name, of in found)


@functools.lru_cache(maxsize=16)
def _graph(load: Callable[..., Any], facts: tuple[Facts, ...], threads: int, quick: bool) -> Any:
    return Remembering(load([Path(name) for name, *_ in facts], threads, quick))


class Remembering:
    """A session that runs once for each input.  Safe to use from several threads, as one is."""

    def __init__(self, session: Any, largest: int = LARGEST) -> None:
        self.session, self._largest = session, largest
        self._lock = threading.Lock()
        self._runs: OrderedDict[bytes, list[NDArray[Any]]] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, outputs: Sequence[str] | None, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As a session does; each caller has arrays of its own."""
        if not all(isinstance(given, np.ndarray) for given in feeds.values()):
            return list(self.session.run(outputs, feeds))
        if sum(given.nbytes for given in feeds.values()) > self._largest:
            return list(self.session.run(outputs, feeds))
        key = hashlib.blake2b(repr(outputs).encode())
        for name, given in sorted(feeds.items()):
            key.update(f"{name} {given.dtype} {given.shape}".encode())
            key.update(np.ascontiguousarray(given).data)
        with self._lock:
            found = self._runs.get(key.digest())
        if found is None:
            found = list(self.session.run(outputs, feeds))
            if all(isinstance(one, np.ndarray) for one in found) and sum(one.nbytes for one in found) <= self._largest:
                with self._lock:
                    self._runs[key.digest()] = found
                    while len(self._runs) > RUNS:
                        self._runs.popitem(last=False)
        return [one.copy() if isinstance(one, np.ndarray) else one for one in found]


@functools.lru_cache(maxsize=4)
def _texts(load: Callable[..., Any], cls: type, facts: tuple[Facts, ...], rules: TokenRules) -> Any:
    return load(cls, Path(facts[0][0]), rules)
