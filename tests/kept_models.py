"""Graphs and tokenizers of models are loaded once in a process of tests: to load one takes longer than to use it.

A session of ONNX Runtime and a tokenizer are only read by their runs.  They are known by the files' inode, size and
time of change, and nothing is kept of what cannot be loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import shared

import mmsearch
from mmsearch.encoders.onnx import session
from mmsearch.encoders.protocol import TokenRules
from mmsearch.encoders.texts import TextEncoder

Facts = tuple[str, int, int, int]  # of a file: its path, inode, time of change, size
PACKAGE = Path(mmsearch.__file__).parent


@contextmanager
def kept(anywhere: bool = False) -> Iterator[None]:
    """What is loaded within is kept for the next one: of files that no test changes, or of files ``anywhere``."""
    before, before_texts = session.load, vars(TextEncoder)["load"]
    load, load_texts = getattr(before, "plain", before), getattr(before_texts.__func__, "plain", before_texts.__func__)

    def graph(files: Sequence[Path], threads: int = 0, quick: bool = False) -> Any:
        facts = _facts(files, anywhere)
        return load(files, threads, quick) if facts is None else _graph(load, facts, threads, quick)

    def texts(cls: type[TextEncoder], file: Path, rules: TokenRules) -> Any:
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
    return load([Path(name) for name, *_ in facts], threads, quick)


@functools.lru_cache(maxsize=4)
def _texts(load: Callable[..., Any], cls: type, facts: tuple[Facts, ...], rules: TokenRules) -> Any:
    return load(cls, Path(facts[0][0]), rules)
