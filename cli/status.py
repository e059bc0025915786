"""``mmsearch status``: what the library holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.advice import typed
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import working

if TYPE_CHECKING:
    from mmsearch.library.status import Status
    from mmsearch.store.breaker import EngineState
    from mmsearch.store.types import Summary

_YEARS = 20  # lines of years at most
_BAR = 30  # characters of the longest bar


def command(
    library: LibraryOption = None,
    json: JsonOption = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="List all files that could not be read or are damaged.")
    ] = False,
) -> None:
    """Show what the library holds: folders, model, kinds and years of the pictures, and what could not be read."""
    from mmsearch.cli.pager import paged
    from mmsearch.cli.welcome import nothing_yet

    with opened(library) as found, working("Counting"):
        status = found.status()
        empty = nothing_yet(found)
    if json:
        formatting.json_line(schemas.status(status))
        return
    if empty is not None:
        formatting.say(empty)
    with paged():
        _print(status, failed)


def _print(status: Status, failed: bool) -> None:
    from mmsearch import config

    told, model = status.summary, "none yet"
    if status.model is not None:
        model = formatting.model_name(status.model, status.precision)
    rows = {
        "library": f"{formatting.shown(status.library, relative=False)} ({formatting.size(status.bytes)})",
        **({"tokens": f"at {formatting.shown(status.blobs, relative=False)}"} if status.blobs else {}),
        "settings": formatting.shown(str(config.config_file()), relative=False),
        "model": model,
        "photos": f"{status.photos:,} can be found{_damaged(status)}, "
        f"{status.missing:,} missing, {status.failed:,} could not be read",
        "details": f"{formatting.plural(status.regions, 'photo')} can be looked at again and asked about, "
        f"{status.captions:,} with captions",
        "search": _compared(status),
    }
    for name, value in rows.items():
        print(f"{name:9} {value}")
    for number, state in enumerate(status.engines):
        print(f"{'' if number else 'servers':9} {_server(state)}")
    for number, root in enumerate(status.roots):
        globs = [formatting.shown(glob, relative=False) for glob in status.exclude.get(root, ())]
        without = f" without {', '.join(globs)}" if globs else ""
        print(f"{'' if number else 'folders':9} {formatting.shown(root, relative=False)}{without}")
    for name, lines in _picture(told, status.photos).items():
        for number, line in enumerate(lines):
            print(f"{'' if number else name:9} {line}")
    for number, (reason, files) in enumerate(told.reasons.items() if len(told.reasons) > 1 else ()):
        print(f"{'' if number else 'failures':9} {files:,} {typed(reason)}")
    told_of = status.damaged if failed else status.damaged[:10]
    for number, one in enumerate(told_of):
        print(f"{'' if number else 'damaged':9} {formatting.shown(one.path)}: {one.what}")
    if len(told_of) < len(status.damaged):
        print(f"{'':9} … {len(status.damaged) - len(told_of):,} more, see --failed or --json")
    listed = status.failures if failed else status.failures[:10]
    for number, item in enumerate(listed):
        print(f"{'' if number else 'failed':9} {formatting.shown(item.path)}: {typed(item.reason)}")
    if len(listed) < status.failed:
        print(f"{'':9} … {status.failed - len(listed):,} more, see --failed or --json")


def _server(state: EngineState) -> str:
    """What is known of a server that the library asks."""
    what = f"{state.name} ({state.part})"
    if state.reachable is None:
        return f"{what} was not asked"
    if state.reachable:
        return f"{what} answers"
    return f"{what} does not answer: {formatting.shown(state.error or '', relative=False)}"


def _damaged(status: Status) -> str:
    return f" ({len(status.damaged):,} damaged)" if status.damaged else ""


def _compared(status: Status) -> str:
    """How many different pictures a search compares, and how many of the nearest it finds where not with all."""
    if status.recall is None or status.index_kind == "exact":
        return f"compares all pictures ({status.index:,} different)"
    found = f"{100 * status.recall:.1f} % of the 10 nearest ({status.index_kind})"
    return f"of {formatting.plural(status.index, 'different picture')} it finds {found}"


def _picture(told: Summary, photos: int) -> dict[str, list[str]]:
    """The library in figures: name -> lines; what there is nothing of is left out."""
    if not photos:
        return {}
    median = "" if told.megapixels is None else f", median {told.megapixels:.1f} megapixels"
    copies = f", {told.copies:,} exact copies of others" if told.copies else ""
    words = {
        "a description": told.described,
        "text in them": told.texts,
        "tags": told.tagged,
        "a place": told.located,
        "a date of the camera": told.dated,
    }
    having = ", ".join(f"{number:,} with {what}" for what, number in words.items() if number)
    return {
        "size": [f"{formatting.size(told.bytes)}{median}{copies}"],
        "formats": [_counted(told.formats)],
        "films": [_films(told)] if told.films or told.sounds or told.documents else [],
        "words": [having] if having else [],
        "cameras": [_counted(told.cameras)] if told.cameras else [],
        "years": list(_years(told.years)),
    }


def _films(told: Summary) -> str:
    """Films, audio files and documents, and what can be found in them."""
    kinds = []
    if told.films:
        hours = f"{told.hours:,.1f} hours" if told.hours >= 1 else f"{60 * told.hours:.1f} minutes"
        moments = formatting.plural(told.moments, "moment")
        kinds.append(f"{formatting.plural(told.films, 'film')} of {hours} together, {moments} of which can be found")
    if told.sounds:
        hours = f"{told.sound_hours:,.1f} hours" if told.sound_hours >= 1 else f"{60 * told.sound_hours:.1f} minutes"
        kinds.append(f"{formatting.plural(told.sounds, 'audio file')} with words, of {hours} together")
    if told.documents:
        kinds.append(f"{formatting.plural(told.documents, 'document')} of {formatting.plural(told.pages, 'page')}")
    return "; ".join(kinds)


def _counted(kinds: dict[str, int]) -> str:
    return ", ".join(f"{formatting.shown(name, relative=False)} {number:,}" for name, number in kinds.items())


def _years(years: dict[int, int]) -> Iterator[str]:
    """A bar for each of the last years that have pictures; those before are one."""
    rows = [(str(year), number) for year, number in years.items()]
    if len(rows) > _YEARS:
        before = sum(number for _, number in rows[: -_YEARS + 1])
        rows = [(f"–{rows[-_YEARS][0]}", before), *rows[-_YEARS + 1 :]]
    most = max((number for _, number in rows), default=0)
    for year, number in rows:
        eighths = max(1, round(number / most * _BAR * 8))
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        yield f"{year:>5} {bar} {number:,}"
