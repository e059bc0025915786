"""``mmsearch export`` and ``mmsearch import``: what a library knows as files that any program can read, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.manage.web_dataset import WebDatasetReport
    from mmsearch.types import Skipped

LISTED = 10  # skipped files


def export_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder to write to.")],
    kind: Annotated[
        Literal["tables", "webdataset"],
        typer.Option("--format", help="Tables and vectors, or photos with captions as tar files to train from."),
    ] = "tables",
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="CONDITIONS", help="Of webdataset: only these, as 'type:jpeg rating:>3'."),
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(
            "--max-side", metavar="N", min=16, max=65_500, help="Of webdataset: make photos smaller, to N pixels."
        ),
    ] = None,
    library: LibraryOption = None,
    json: JsonOption = False,
) -> None:
    """Write vectors and all that is known of the pictures into FOLDER, for other programs and for mmsearch import.

    vectors.npy has a row a picture; photos.csv a line a file, with the row of its vector; model.json names the model.
    With mmsearch[export] there is photos.parquet too. In the CSV, texts that spreadsheet programs would run as formulas
    have a ' before them. The pictures themselves are not copied.

    With --format webdataset it is photos and captions instead, in tar files of at most 10,000 photos or a gigabyte, for
    mmsearch train, open_clip and others: 00000000.jpg, .txt, .json. Captions are what people wrote, else what
    mmsearch index --captions did. Films, sound and documents are left out.
    """
    from mmsearch.cli.welcome import nothing_yet

    if kind == "tables" and (where is not None or max_side is not None):
        raise typer.BadParameter("--where and --max-side are for --format webdataset")
    with opened(library) as found:
        try:
            with progress_bar("Exporting") as progress:
                if kind == "tables":
                    report = found.export(folder, progress=progress)
                else:
                    shards = found.items(() if where is None else where).to_webdataset(
                        folder, max_side=max_side, progress=progress
                    )
            empty = nothing_yet(found)
        except KeyboardInterrupt:
            formatting.say("interrupted: nothing was written")
            raise typer.Exit(130) from None
    shown = formatting.shown(str(folder))
    if kind == "webdataset":
        _tell_shards(str(folder), shards, json)
    else:
        if not report.parquet:
            formatting.say("photos.parquet was left out: it needs pip install 'mmsearch[export]'")
        if json:
            formatting.json_line(schemas.export_report(str(folder), report))
        else:
            files, vectors = formatting.plural(report.files, "file"), formatting.plural(report.vectors, "vector")
            formatting.say(f"{files} and {vectors} written to {shown}")
    if empty is not None:
        formatting.say(empty)


def _tell_shards(folder: str, report: WebDatasetReport, json: bool) -> None:
    if json:
        formatting.json_line(schemas.web_dataset_report(folder, report))
        return
    photos, files = formatting.plural(report.samples, "photo"), formatting.plural(report.shards, "tar file")
    formatting.say(f"{photos}, {report.captioned:,} with a caption, written to {files} in {formatting.shown(folder)}")
    _list_skipped(report.skipped)


def _list_skipped(skipped: Sequence[Skipped]) -> None:
    for one in skipped[:LISTED]:
        formatting.say(f"skipped {formatting.shown(one.path)}: {one.reason}")
    if len(skipped) > LISTED:
        formatting.say(f"… and {len(skipped) - LISTED:,} more: --json lists all")


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
    _list_skipped(report.skipped)
