"""``mmsearch imagine``: sketches of what a text makes the search look for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli import formatting
from mmsearch.cli.looking import check_is_no_photo, file_to_write, picture_format
from mmsearch.cli.options import JsonOption, LibraryOption, is_there, opened, settings_with
from mmsearch.cli.progress_bar import working

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmsearch.library.imagining import Region, Sketch
    from mmsearch.library.library import Library

SIDE, GAP, LABEL = 192, 8, 18  # pixels of a picture, between two, and of a line of text
SOURCE = 640  # pixels of the longer side of the thumbnail that a region is cut out of


def command(
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="Words of what a picture may show.")],
    library: LibraryOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.png", help="Where the sketches go: PNG, JPEG or WebP."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=16, metavar="N", help="How many sketches.")] = 4,
    regions: Annotated[
        int, typer.Option("--regions", min=0, max=16, metavar="N", help="Beside each, so many regions of photos.")
    ] = 4,
    json: JsonOption = False,
) -> None:
    """Draw sketches of what a text makes the search look for.

    They are drawn by a small generator, 128 pixels a side, and show colours and where things are at best: they are no
    photos, and nobody took them. Beside each sketch are the regions of your own photos that are most like a part of it,
    with that part framed in the sketch. Where there is no library there are sketches only. With --json the regions are
    printed, a sketch a line. It works with the embedded model.
    """
    if output is None and not json:
        raise typer.BadParameter("give -o FILE.png, --json, or both")
    from mmsearch.media.filesystem import atomic_file

    target = file_to_write(output) if output is not None else None
    words, settings = " ".join(text), settings_with("cpu")
    if library is not None or is_there(settings):
        with opened(library, auto="cpu") as found, working("Imagining"):
            check_is_no_photo(target, found)
            sketches = found.imagine(words, count, regions=regions)
            sheet = _sheet(words, sketches, found) if target is not None else None
    else:
        from mmsearch.library.imagining import alone

        formatting.say("there is no library: these are sketches only, without regions of photos")
        with working("Imagining"):
            sketches = alone(words, count)
            sheet = _sheet(words, sketches, None) if target is not None else None
    if json:
        for number, sketch in enumerate(sketches, 1):
            near = [{"path": one.photo.path, "part": one.part, "box": one.box, "sketch_box": one.sketch_box,
                     "similarity": round(one.similarity, 4)} for one in sketch.regions]  # fmt: skip
            formatting.json_line({"sketch": number, "regions": near})
    if target is not None and sheet is not None:
        with atomic_file(target) as draft:
            sheet.save(draft, picture_format(target))
        formatting.say(f"wrote {formatting.shown(str(output))}: sketches, not photos")


def _sheet(text: str, sketches: Sequence[Sketch], library: Library | None) -> Image:
    """All in one picture: a row a sketch with its regions, or the sketches side by side where there are none."""
    from PIL import Image, ImageDraw, ImageFont

    each = [_row(sketch, library) for sketch in sketches]
    beside = any(len(row) > 1 for row in each)
    rows = each if beside else [[picture for row in each for picture in row]]
    across, down = SIDE + GAP, SIDE + GAP
    size = max(map(len, rows)) * across + GAP, 2 * LABEL + GAP + len(rows) * down + GAP
    drawn = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(size=LABEL - 6)
    pen.text((GAP, GAP), f"{formatting.printable(text)[:200]}", "black", font)
    said = "sketches (imagined, not photos)" + (" | like the framed part, in photos" if beside else "")
    pen.text((GAP, GAP + LABEL), said, "dimgrey", font)
    for number, row in enumerate(rows):
        for place, picture in enumerate(row):
            drawn.paste(picture, (GAP + place * across, 2 * LABEL + GAP + number * down))
    return drawn


def _row(sketch: Sketch, library: Library | None) -> list[Image]:
    """The sketch with a frame around the part that its best region is like, then its regions."""
    from PIL import Image, ImageDraw

    drawn = Image.fromarray(sketch.pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    found = [] if library is None else [(one, _region(one, library)) for one in sketch.regions]
    seen = [(one, picture) for one, picture in found if picture is not None]
    if seen:
        left, top, right, bottom = (round(SIDE * value) for value in seen[0][0].sketch_box)
        ImageDraw.Draw(drawn).rectangle((left, top, right - 1, bottom - 1), outline="white", width=2)
    return [drawn, *(picture for _, picture in seen)]


def _region(region: Region, library: Library) -> Image | None:
    """A part of a photo as a square; None where the photo cannot be seen.  Of a file that is away it is a rough one."""
    from PIL import Image

    from mmsearch.errors import ImageError

    try:
        content = library.thumbnail(region.photo, SOURCE, part=region.part or None).content
    except ImageError:
        return None
    with Image.open(io.BytesIO(content)) as whole:
        left, top, right, bottom = region.box
        cut = left * whole.width, top * whole.height, right * whole.width, bottom * whole.height
        return whole.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=cut)
