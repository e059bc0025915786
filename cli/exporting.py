"""``mmsearch export`` and ``mmsearch import``: what a library knows as files that any program can read, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar

LISTED = 10  # skipped files


def export_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder to write to.")],
    library: LibraryOption = None,
    json: JsonOption = False,
) -> None:
    """Write vectors and all that is known of the pictures into FOLDER, for other programs and for mmsearch import.

    vectors.npy has a row a picture; photos.csv a line a file, with the row of its vector; model.json names the model.
    With mmsearch[export] there is photos.parquet too. In the CSV, texts that spreadsheet programs would run as formulas
    have a ' before them. The pictures themselves are not copied.
    """
    from mmsearch.cli.welcome import nothing_yet

    with opened(library) as found:
        try:
            with progress_bar("Exporting") as progress:
                report = found.export(folder, progress=progress)
            empty = nothing_yet(found)
        except KeyboardInterrupt:
            formatting.say("interrupted: nothing was written")
            raise typer.Exit(130) from None
    if not report.parquet:
        formatting.say("photos.parquet was left out: it needs pip install 'mmsearch[export]'")
    if json:
        formatting.json_line(schemas.export_report(str(folder), report))
    else:
        files, vectors = formatting.plural(report.files, "file"), formatting.plural(report.vectors, "vector")
        formatting.say(f"{files} and {vectors} written to {formatting.shown(str(folder))}")
    if empty is not None:
        formatting.say(empty)


def import_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An export, or a folder with vectors.")],
    library: LibraryOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="What made vectors that are no export of mmsearch. It is taken on trust.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Add what mmsearch export wrote, or vectors that another program made. No picture is encoded.

    The latter are vectors.npy, (n, dimensions) in float16 or float32, and photos.csv with a column path and a line a
    vector, or a column row. Relative paths are below FOLDER. With --model you vouch that MODEL made the vectors from
    these files, as mmsearch prepares them: nobody can check that, and others give wrong results. Files that the library
    knows already stay as they are, so an import may be repeated.
    """
    with opened(library, must_exist=False) as found:
        try:
            with progress_bar("Importing") as progress:
                report = found.import_from(folder, model=model, progress=progress)
        except KeyboardInterrupt:
            formatting.say("interrupted: nothing is lost; run the same command again to go on")
            raise typer.Exit(130) from None
    if json:
        formatting.json_line(schemas.import_report(report))
        return
    counted = {"added": report.added, "known before": report.known, "skipped": len(report.skipped)}
    done = ", ".join(f"{number:,} {what}" for what, number in counted.items() if number) or "nothing to import"
    formatting.say(f"{done} in {report.seconds:.1f} s, vectors of {report.model}")
    for one in report.skipped[:LISTED]:
        formatting.say(f"skipped {formatting.shown(one.path)}: {one.reason}")
    if len(report.skipped) > LISTED:
        formatting.say(f"… and {len(report.skipped) - LISTED:,} more: --json lists all")
