"""An index run as people see it: its progress, Ctrl-C, and what it says at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.types import IndexReport, Progress


def indexed(library: Library, run: Callable[[Callable[[Progress], None]], IndexReport], json: bool) -> None:
    """Runs it and presents its report; ``run`` is given what is to be called for ``Progress``."""
    try:
        with progress_bar("Indexing") as progress:
            report = run(progress)
    except KeyboardInterrupt:
        formatting.say(
            f"interrupted: {formatting.plural(library.status().photos, 'photo')} can be found, nothing is lost; "
            "run the same command again to go on"
        )
        raise typer.Exit(130) from None
    for note in report.notes:
        formatting.say(note)
    if json:
        formatting.json_line(schemas.index_report(report))
    else:
        for line in formatting.report_lines(report):
            formatting.say(line)
