"""``mmsearch explain``: where in a photo the words of a text are found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.looking import PhotoArgument, file_to_write, looker, picture_format
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption
from mmsearch.cli.progress_bar import working

if TYPE_CHECKING:
    from mmsearch.rerank.timeline import Timeline


def command(
    photo: PhotoArgument,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="Words that may describe the photo.")],
    library: LibraryOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.png", help="Draw the heat over the photo: PNG, JPEG or WebP."),
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Show where the model's attention was, not what decided the match.")
    ] = False,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Show how well a text fits a photo, and where each of its words is found.

    The picture has a panel for the whole text and one for each word but "the", "on" and their like: the lighter a
    place, the more it is worth to the match. With --json the numbers are printed, side x side values in [0, 1] a word.

    Of a film or a document it is shown how well the text fits each moment or page, and which fits best.
    """
    if output is None and not json:
        raise typer.BadParameter("give -o FILE.png, --json, or both")
    from mmsearch.media.filesystem import atomic_file

    target = file_to_write(output, photo) if output is not None else None
    with looker(library, device, target) as found, working("Looking"):
        over_time = found.over_time(photo, " ".join(text))
        if over_time is not None:
            _give(over_time, target, json)
            return
        explanation = found.explain(photo, " ".join(text), "attention" if attention else "match")
        if target is not None:
            with atomic_file(target) as draft:
                found.draw(explanation).save(draft, picture_format(target))
    if json:
        formatting.json_line(schemas.explanation(explanation))
    else:
        print(f"{explanation.score:.3f}")
    if target is not None:
        formatting.say(f"wrote {formatting.shown(str(target))}")


def _give(over_time: Timeline, target: Path | None, json: bool) -> None:
    """Print and draw how well a text fits the parts of a film or a document."""
    from mmsearch.media.filesystem import atomic_file
    from mmsearch.rerank.timeline import draw

    if target is not None:
        with atomic_file(target) as draft:
            draw(over_time).save(draft, picture_format(target))
    if json:
        formatting.json_line(schemas.timeline(over_time))
    else:
        best = over_time.best
        print(f"{best.score:.3f}  {formatting.whole_place(best)}")
    if target is not None:
        formatting.say(f"wrote {formatting.shown(str(target))}")
