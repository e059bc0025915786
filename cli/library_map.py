"""``mmsearch map``: all pictures on a plane, those that are alike together, in clusters with names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.manage.map.make import MapReport

METHODS = ("kmeans", "hdbscan")


def command(
    library: LibraryOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.html", help="Write the map as one HTML file too.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Lay all out anew; photos will lie elsewhere, in other clusters.")
    ] = False,
    clusters: Annotated[
        str | None,
        typer.Option(
            "--clusters",
            metavar="kmeans|hdbscan",
            help="How clusters are found; hdbscan needs mmsearch[map]. Default: as the last time, at first kmeans.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Lay the pictures out on a map by what they show, and name the clusters; find those by cluster:NUMBER or a name.

    The map is kept with the library. Made again it stays as it is, and new photos are placed by those that they are
    most alike. FILE.html needs nothing else and no network: zoom, draw around photos to copy their paths, search by
    names. Prints a line a cluster: its number, how many photos, its name.
    """
    if clusters is not None and clusters not in METHODS:
        raise typer.BadParameter(f"must be kmeans or hdbscan, not {clusters!r}", param_hint="--clusters")
    method: Any = clusters
    with opened(library, auto="cpu") as found:
        try:
            with progress_bar("Map") as progress:
                report = found.map(output, fresh=fresh, clusters=method, progress=progress)
        except KeyboardInterrupt:
            formatting.say("interrupted: the last map stays as it was")
            raise typer.Exit(130) from None
    if json:
        formatting.json_line(schemas.map_report(report, None if output is None else str(output)))
        return
    _listing(report)
    done = {"laid out": report.laid_out, "placed": report.placed, "as before": report.kept, "gone": report.gone}
    parts = ", ".join(f"{number:,} {what}" for what, number in done.items() if number)
    formatting.say(f"{formatting.plural(report.photos, 'picture')} on the map in {report.seconds:.1f} s: {parts}")
    if report.named_by == "vocabulary":
        formatting.say("named by the words that ship, as few photos have tags, captions or descriptions")
    if output is not None:
        formatting.say(f"written to {formatting.shown(str(output))}; open it in a browser")


def _listing(report: MapReport) -> None:
    """A line a cluster that has photos: number, photos, name."""
    width = max((len(f"{one.size:,}") for one in report.clusters), default=1)
    digits = len(str(len(report.clusters)))
    for one in report.clusters:
        if one.size:
            print(f"{one.number:>{digits}}  {one.size:>{width},}  {formatting.printable(one.name)}")
