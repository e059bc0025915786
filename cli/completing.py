"""What may stand where the cursor is, for a shell that completes: commands, options, fields and values of the library.

Quick: no library is opened but its file of SQLite, for reading, and nothing that a query imports is imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

MOST = 60  # values that are offered at once

# Fields of the query language that are no conditions -> what they say.
_OTHER_FIELDS = {"words": "these very words", "like": "more like a picture", "sort": "the order of the hits"}
_FIXED = {  # field -> its values
    "has": ("text", "gps"),
    "orientation": ("portrait", "landscape", "square"),
    "sort": ("score", "date", "name", "size"),
}
_FILES = ("FILE", "PATH", "PHOTO", "CLASSES")  # beginnings of metavars
_FOLDERS = ("DIR", "FOLDER")


@dataclass
class Candidates:
    """What may stand there: value -> a few words about it, in the order in which it is to be shown."""

    values: dict[str, str] = field(default_factory=dict)
    files: bool = False  # the shell is to complete a path
    folders: bool = False  # of a folder


def candidates(commands: dict[str, Any], general: Sequence[Any], words: Sequence[str]) -> Candidates:
    """What may follow ``words``, of which the last one is not complete; the program's name is none of them.

    ``commands`` are those of the program by name, ``general`` the options that stand before them.
    """
    *before, last = words or [""]
    place = next((place for place, word in enumerate(before) if word in commands), None)
    if place is None:
        if last.startswith("-"):
            return Candidates(dict(_options(general, last)))
        return Candidates({name: _help(one) for name, one in commands.items() if name.startswith(last)})
    name, before = before[place], [*before[:place], *before[place + 1 :]]
    params = commands[name].params
    option, equals, value = last.partition("=")
    if equals and option.startswith("--"):
        found = _values(_named(params, option), value, before)
        return Candidates({f"{option}={each}": said for each, said in found.values.items()}, found.files, found.folders)
    if "--" not in before:
        waiting = _named(params, before[-1]) if before else None
        if waiting is not None and not waiting.is_flag:
            return _values(waiting, last, before)
        if last.startswith("--") or (last.startswith("-") and (name != "query" or last == "-")):
            return Candidates(dict(_options(params, last)))
    if name == "query":
        return _query(last, before)
    argument = next((param for param in params if param.param_type_name == "argument"), None)
    return Candidates() if argument is None else _values(argument, last, before)


def _help(command: Any) -> str:
    return str(command.get_short_help_str(80))


def _options(params: Sequence[Any], start: str) -> Iterator[tuple[str, str]]:
    for param in params:
        if param.param_type_name == "option" and not param.hidden:
            for name in (*param.opts, *param.secondary_opts):
                if name.startswith(start) and name.startswith("--"):
                    yield name, (param.help or "").partition(". ")[0]
    if "--help".startswith(start):
        yield "--help", "Show what the command does and takes"


def _named(params: Sequence[Any], name: str) -> Any:
    """The option of this name; None where there is none."""
    options = (param for param in params if param.param_type_name == "option")
    return next((param for param in options if name in (*param.opts, *param.secondary_opts)), None)


def _values(param: Any, start: str, before: Sequence[str]) -> Candidates:
    """What the value of an option or an argument may be."""
    if param is None:
        return Candidates()
    metavar, name = param.metavar or "", next((one[2:] for one in param.opts if one.startswith("--")), "")
    if metavar.startswith(_FOLDERS):
        return Candidates(folders=True)
    if "|" in metavar and not metavar.startswith(_FILES):
        return _beginning(metavar.split("|"), start)
    if metavar.startswith(_FILES):
        return Candidates(files=True)
    if metavar == "MODEL":
        return _beginning(_models(start), start)
    return _beginning(_values_of(name, start, before), start)


def _query(last: str, before: Sequence[str]) -> Candidates:
    """A word of a query: a field, the value of one, or a picture file."""
    if last.startswith((".", "/", "~")):
        return Candidates(files=True)
    sign, word = (last[0], last[1:]) if last[:1] in ("-", "+") else ("", last)
    name, colon, value = word.partition(":")
    if not colon:
        fields = {f"{sign}{each}:": said for each, said in _fields().items() if each.startswith(name)}
        return Candidates(fields) if fields else Candidates(files=True)
    if name in ("in", "like"):
        return Candidates()  # a shell cannot complete a path after a colon
    *done, value = value.split(",")
    front = f"{sign}{name}:" + "".join(f"{one}," for one in done)
    quoted = (f'"{one}"' if not one.replace("-", "").isalnum() else one for one in _values_of(name, value, before))
    return Candidates({f"{front}{one}": "" for one in quoted})


def _fields() -> dict[str, str]:
    from mmsearch.cli.query_options import FIELDS
    from mmsearch.query.fields import CONDITIONS

    return {**dict.fromkeys(CONDITIONS, ""), **_OTHER_FIELDS, **FIELDS}


def _values_of(name: str, start: str, before: Sequence[str]) -> list[str]:
    """Values of a field: those that there are, or those of the library."""
    start = start.lstrip('"')
    if name in _FIXED:
        return [value for value in _FIXED[name] if value.startswith(start)]
    from mmsearch.errors import MMSearchError
    from mmsearch.store.open import beginnings

    with contextlib.suppress(MMSearchError):  # a mistake in the settings is told when the command runs
        folder = _library(before)
        return [] if folder is None else beginnings(folder, name, start, MOST)
    return []


def _library(before: Sequence[str]) -> Path | None:
    """The library that the words name, or the person's own; None for one on a server, which is not asked."""
    from mmsearch import config
    from mmsearch.library.library_file import located

    named = [value for option, value in pairwise(before) if option in ("--library", "-l")]
    named += [word.partition("=")[2] for word in before if word.startswith("--library=")]
    place, _ = located(named[0], config.Settings()) if named else located(None, config.load())
    return None if config.is_address(place) else Path(place)


def _models(start: str) -> list[str]:
    from mmsearch.encoders.hub import open_clip_table

    names = ["auto", "embedded"]
    if start:
        for model, tags in open_clip_table.stored().items():
            names += [f"{model}/{tag}" for tag in tags] if start.startswith(f"{model}/") else [model]
    return names


def _beginning(values: Sequence[str], start: str) -> Candidates:
    fitting = [value for value in values if value.casefold().startswith(start.casefold())]
    return Candidates(dict.fromkeys(fitting[:MOST], ""))
