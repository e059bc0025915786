"""What callers give, checked by the names of parameters: one table for all that people call.

So a mistake is told at once, by the name of what was given, and not by whatever meets it first further down.
"""

from __future__ import annotations

import inspect
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar

from mmsearch.config import Settings
from mmsearch.errors import ArgumentError
from mmsearch.types import SIDES, Hit, Photo

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)


class Rule(NamedTuple):
    """What a parameter takes, besides its own default; a list is told which of its entries is wrong."""

    holds: Callable[[Any], bool]
    wanted: str
    several: bool = False  # a list or tuple of such values will do


def is_path(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, os.PathLike) and isinstance(os.fspath(value), str))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_switch(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")  # of NumPy


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _one_of(*values: str) -> Rule:
    return Rule(lambda value: value in values, f"{', '.join(map(repr, values[:-1]))} or {values[-1]!r}")


_PATH = Rule(is_path, "a path (str or Path)")
_PATHS = Rule(is_path, "a path (str or Path) or a list of paths", several=True)
_TEXT = Rule(_is_text, "a text (str)")
_TAGS = Rule(_is_text, "a tag (str) or a list of tags", several=True)
_SWITCH = Rule(_is_switch, "True or False")

_FROM_0 = Rule(lambda value: _is_whole(value) and 0 <= value < 2**53, "a whole number from 0")

RULES = {
    "add": _TAGS,
    "alternatives": Rule(lambda value: _is_whole(value) and value >= 0, "a whole number from 0"),
    "at_ms": _FROM_0,
    "by": _one_of("match", "attention"),
    "captioned": Rule(
        lambda value: is_path(value) or isinstance(value, Mapping), "a path or a dict of captions by file name"
    ),
    "captions": _SWITCH,
    "clusters": _one_of("kmeans", "hdbscan"),
    "count": Rule(lambda value: _is_whole(value) and 1 <= value <= 64, "a whole number from 1 to 64"),
    "create": _SWITCH,
    "deep": _SWITCH,
    "device": _TEXT,
    "diverse": _SWITCH,
    "dry": _SWITCH,
    "exclude": Rule(_is_text, "a glob (str) or a list of globs", several=True),
    "file": _PATH,
    "folder": _PATH,
    "force": _SWITCH,
    "fresh": _SWITCH,
    "groups": Rule(lambda value: hasattr(value, "keep"), "a list of the groups that duplicates found", several=True),
    "imagine": _SWITCH,
    "id": Rule(_is_whole, "a whole number: the id of a photo"),
    "level": _one_of("exact", "near", "burst"),
    "max_megapixels": Rule(lambda value: _is_number(value) and value > 0, "a number above 0"),
    "max_side": Rule(lambda value: _is_whole(value) and 16 <= value <= 65_500, "a whole number from 16 to 65500"),
    "most": Rule(lambda value: _is_whole(value) and 1 <= value <= 10_000, "a whole number from 1 to 10000"),
    "min_relevance": Rule(_is_number, "a number from 0 to 1"),
    "model": _TEXT,
    "name": _TEXT,
    "ocr": _SWITCH,
    "part": _FROM_0,
    "path": _PATH,
    "paths": _PATHS,
    "photo": Rule(lambda value: isinstance(value, Photo), "a Photo"),
    "photos": Rule(
        lambda value: isinstance(value, (Hit, Photo)) or _is_whole(value) or is_path(value),
        "a photo, a hit, the id of a photo, a path, or a list of these",
        several=True,
    ),
    "progress": Rule(callable, "a function that takes a Progress"),
    "question": _TEXT,
    "quick": _SWITCH,
    "remove": _TAGS,
    "picture": _one_of("path", "data", "none"),
    "query_language": _SWITCH,
    "regions": Rule(lambda value: _is_whole(value) and 0 <= value <= 48, "a whole number from 0 to 48"),
    "rerank": _SWITCH,
    "settings": Rule(lambda value: isinstance(value, Settings), "a mmsearch.Settings"),
    "side": Rule(lambda value: value in SIDES, "160, 320, 640 or 1280"),
    "text": _TEXT,
    "threshold": Rule(lambda value: _is_number(value) and -1 <= value <= 1, "a number, at most 1"),
    "urls": Rule(is_path, "the path of a table or text of addresses, or a list of addresses", several=True),
    "vocabulary": Rule(lambda value: is_path(value) or hasattr(value, "fingerprint"), "a path or a Vocabulary"),
    "wait": _SWITCH,
    "within": _PATHS,
}


def check(name: str, rule: Rule, value: object) -> object:
    """The value, a list where it is several, whatever they came in; raises ArgumentError for what nobody takes."""
    if rule.several and isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        values = list(value)
        for place, one in enumerate(values):
            if not rule.holds(one):
                raise ArgumentError(f"{name}[{place}]", reprlib.repr(one), rule.wanted)
        return values
    if not rule.holds(value):
        raise ArgumentError(name, reprlib.repr(value), rule.wanted)
    return value


def checked(function: Function) -> Function:
    """The function, which raises ArgumentError for arguments that ``RULES`` knows and that are of the wrong kind."""
    signature = inspect.signature(function)
    known = {name: one.default for name, one in signature.parameters.items() if name in RULES}

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        for name, default in known.items():
            if name in given.arguments and given.arguments[name] is not default:
                given.arguments[name] = check(name, RULES[name], given.arguments[name])
        return function(*given.args, **given.kwargs)

    return call  # type: ignore[return-value]


def checked_methods(of: Class) -> Class:
    """The class, each public method of which is ``checked``."""
    for name, method in list(vars(of).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(of, name, checked(method))
    return of
