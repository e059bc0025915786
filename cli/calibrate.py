"""``mmsearch calibrate``: fit relevance to one's own pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import CaptionsFileOption, DeviceOption, JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.library.calibrating import CalibrationReport

NAMES = {  # of figures -> how they are said
    "calibration error": "relevance is wrong by",
    "captions empty": "captions without an answer that find nothing",
    "short empty": "single things without an answer that find nothing",
}


def command(
    captions: CaptionsFileOption = None,
    library: LibraryOption = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget what was fitted, and do no more.")] = False,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Fit relevance to the pictures of a library, by captions of 200 of them or more.

    Without --captions, by what is written in and beside the files. Half of the pictures are fitted on and the others
    judged: the new relevance is kept only where it tells better. No picture is opened.
    """
    if clear and captions is not None:
        raise typer.BadParameter("--clear goes without --captions")
    with opened(library, device=device, auto="cpu") as found:
        if clear:
            there = found.clear_calibration()
            if json:
                formatting.json_line(schemas.calibration_cleared(there))
            else:
                formatting.say("forgotten" if there else "nothing was fitted to this library")
            return
        try:
            with progress_bar("Calibrating") as progress:
                report = found.calibrate(captions, progress=progress)
        except KeyboardInterrupt:
            formatting.say("interrupted: relevance is as it was")
            raise typer.Exit(130) from None
    if json:
        formatting.json_line(schemas.calibration_report(report))
    else:
        _print(report)


def _print(report: CalibrationReport) -> None:
    photos, texts = formatting.plural(report.photos, "picture"), formatting.plural(report.texts, "text")
    print(f"{photos} with captions, {texts} asked")
    for name, said in NAMES.items():
        if name in report.after:
            print(f"{said}: {report.before[name]:.1f} % before, {report.after[name]:.1f} % after")
    print("relevance is fitted to this library" if report.changed else "relevance stays as it is, which tells no worse")
