"""``mmsearch watch``: keep the library up to date while pictures come and go."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mmsearch import schemas
from mmsearch.cli import formatting, options
from mmsearch.cli.advice import worded
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.types import IndexReport
    from mmsearch.watch.watcher import Event


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Folders or pictures. Default: all that the library knows."),
    ] = None,
    library: options.LibraryOption = None,
    device: options.DeviceOption = None,
    exclude: options.ExcludeOption = None,
    max_megapixels: options.MaxMegapixelsOption = None,
    regions: options.RegionsOption = None,
    captions: options.CaptionsOption = False,
    ocr: options.OcrOption = False,
    poll: Annotated[
        float | None,
        typer.Option(
            "--poll",
            metavar="SECONDS",
            min=0.1,
            help="Look at the folders every so often and wait for no events. Network drives need it, and get it.",
        ),
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """Index folders, then wait for changes and index these, until it is stopped.

    A burst of changes is read in one go, when it is over. Folders that go away, as unplugged drives do, are waited
    for. Ctrl-C or SIGTERM end it; nothing is lost. Needs mmsearch[watch].
    """
    from mmsearch.watch.watcher import Pace, Place, watch

    signal.signal(signal.SIGTERM, _terminated)
    settings: dict[str, Any] = {"device": device, "max_megapixels": max_megapixels, "regions": regions}
    try:
        with options.opened(library, must_exist=False, **settings) as found:

            def index(roots: Sequence[str]) -> IndexReport:
                with progress_bar("Indexing") as progress:
                    return found.index(roots, exclude=exclude or None, captions=captions, ocr=ocr, progress=progress)

            place = Place(found.folder)
            events = watch(found, paths or [], index=index, exclude=exclude or None, pace=Pace(poll=poll))
            try:
                with closing(events):
                    for event in events:
                        _tell(event, json)
            except KeyboardInterrupt:
                place.check()
                photos = formatting.plural(found.store.counts().photos, "photo")
                formatting.say(f"stopped: {photos} can be found, nothing is lost")
                raise
    except KeyboardInterrupt as error:
        raise typer.Exit(0 if isinstance(error, _Terminated) else 130) from None


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run as Ctrl-C does."""


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _tell(event: Event, json: bool) -> None:
    from mmsearch.watch import watcher

    if isinstance(event, watcher.Ran):
        for note in event.fresh.notes:
            formatting.say(note)
        if json:
            formatting.json_line(schemas.index_report(event.report))
            sys.stdout.flush()
        elif event.news:
            for line in formatting.report_lines(event.fresh):
                formatting.say(line)
    else:
        line = _line(event)
        if line:
            formatting.say(line)


def _line(event: Event) -> str:
    """What happened, in a sentence; empty where it was said before."""
    from mmsearch.errors import LibraryBusyError
    from mmsearch.watch import watcher

    if isinstance(event, watcher.Watching):
        return f"watching {formatting.plural(len(event.roots), 'folder')}"
    if isinstance(event, watcher.Polled):
        return f"{formatting.shown(event.root)} is looked at every {event.seconds:.0f} s: {event.why}"
    if isinstance(event, watcher.Away):
        return f"{formatting.shown(event.root)} is not there now: waiting for it, nothing is marked missing"
    if isinstance(event, watcher.Back):
        return f"{formatting.shown(event.root)} is there again"
    if isinstance(event, watcher.Failed):
        if isinstance(event.error, LibraryBusyError):
            return "another mmsearch is writing to the library: waiting for it" if event.tries == 1 else ""
        return f"mmsearch: {worded(event.error)}; trying again in {event.seconds:.0f} s"
    return ""
