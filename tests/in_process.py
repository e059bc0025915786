"""The command line called in this process: each call finds things as a new process would, and leaves none behind."""

from __future__ import annotations

import atexit
import functools
import gc
import io
import logging
import operator
import os
import signal
import sys
import tempfile
import time
import traceback
import types
import warnings
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import kept_models
import typer.main

from mmsearch import cli
from mmsearch.cli.app import main

QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # in Python, unless asked for
CACHED = type(functools.cache(lambda: None))


def call(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> CompletedProcess[str]:
    """What ``mmsearch ARGUMENTS`` prints and returns in ``folder`` with ``environment``, and with that one alone.

    Output is caught at the file descriptors, so that of libraries and of processes that the command starts is in it.
    Bytes that are not UTF-8 are kept as ``os.fsdecode`` keeps them.  An exception that escapes is printed as Python
    prints it, with exit code 1.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with _as_new(environment, folder), _streams(out.fileno(), err.fileno()):
            sys.argv = [str(Path(cli.__file__).parent / "__main__.py"), *arguments]  # as ``python -m mmsearch.cli``
            code = _exit_code(main)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "surrogateescape"))
    return CompletedProcess(sys.argv, code, *texts)


def _exit_code(run: Callable[[], None]) -> int:
    try:
        run()
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def _streams(out: int, err: int) -> Iterator[None]:
    """Standard output and error go to these files, no input comes; by number and by name in ``sys``."""
    before = sys.stdin, sys.stdout, sys.stderr
    for stream in before[1:]:
        stream.flush()
    kept = os.dup(1), os.dup(2)
    os.dup2(out, 1)
    os.dup2(err, 2)
    try:
        with (
            open(os.devnull, encoding="utf-8") as nothing,
            open(1, "wb", closefd=False) as to_out,
            open(2, "wb", closefd=False) as to_err,
        ):
            sys.stdin = nothing
            sys.stdout = io.TextIOWrapper(to_out, "utf-8", "strict")
            sys.stderr = io.TextIOWrapper(to_err, "utf-8", "backslashreplace", line_buffering=True)
            try:
                yield
            finally:
                sys.stdout.close()
                sys.stderr.close()
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def _as_new(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """All that a command sets for its process is as in a new one, and put back afterwards."""
    with ExitStack() as stack:
        own = (_logging, _warnings, _collector, _signals, _browsers, _modules, _made_once)
        for each in (_surroundings(environment, folder), *(make() for make in own)):
            stack.enter_context(each)
        yield


@contextmanager
def _surroundings(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    variables, place, arguments = dict(os.environ), Path.cwd(), sys.argv
    program = sys.modules["__main__"]
    package = program.__package__
    program.__package__ = "mmsearch.cli"  # what usage lines call the program after
    _set_variables(environment)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(place)
        sys.argv, program.__package__ = arguments, package
        _set_variables(variables)


def _set_variables(wanted: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)
    if hasattr(time, "tzset"):
        time.tzset()


@contextmanager
def _logging() -> Iterator[None]:
    loggers = [logging.getLogger(), logging.getLogger("mmsearch")]
    kept = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    for logger, level in zip(loggers, (logging.WARNING, logging.NOTSET), strict=True):
        logger.handlers, logger.propagate = [], True
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, handlers, level, propagate in kept:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


@contextmanager
def _warnings() -> Iterator[None]:
    def show(
        message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: str | None = None
    ) -> None:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in QUIET:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


@contextmanager
def _collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        atexit.unregister(gc.freeze)


@contextmanager
def _signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextmanager
def _browsers() -> Iterator[None]:
    """Python looks for browsers once, and in ``BROWSER``."""
    own = vars(webbrowser)
    kept = {name: own[name] for name in ("_browsers", "_tryorder", "_os_preferred_browser")}
    own.update(_browsers={}, _tryorder=None, _os_preferred_browser=None)
    try:
        yield
    finally:
        own.update(kept)


@contextmanager
def _modules() -> Iterator[None]:
    """Caches of what files hold are empty, and what a command assigns in a module is taken back."""
    kept = [(module, tuple(vars(module)), tuple(vars(module).values())) for module in _loaded()]
    _forget()
    try:
        yield
    finally:
        for module, names, values in kept:
            now = map(vars(module).get, names)
            if not all(map(operator.is_, now, values)):  # quick: there are hundreds of modules, and calls
                for name, value in zip(names, values, strict=True):
                    if vars(module).get(name) is not value:
                        setattr(module, name, value)
        _forget()


def _loaded() -> list[types.ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name == "mmsearch" or name.startswith("mmsearch.")]


def _forget() -> None:
    """Empty the caches of functions with arguments; without any they hold what the package brings, always the same."""
    for module in _loaded():
        for function in _caching(module):
            function.cache_clear()


@functools.cache
def _caching(module: types.ModuleType) -> list[Any]:
    """The functions of a module, and of its classes, that keep what they found for some arguments."""
    found = []
    for value in vars(module).values():
        inner = vars(value).values() if isinstance(value, type) and value.__module__ == module.__name__ else ()
        for each in (value, *inner):
            function = getattr(each, "__func__", each)
            if isinstance(function, CACHED) and function.__wrapped__.__code__.co_argcount:
                found.append(function)
    return found


@contextmanager
def _made_once() -> Iterator[None]:
    """What takes long to make and no run changes is kept from call to call: the parser, and the models."""
    get_command = typer.main.get_command
    typer.main.get_command = _command
    try:
        with kept_models.kept(anywhere=True):
            yield
    finally:
        typer.main.get_command = get_command


_command = functools.cache(typer.main.get_command)
