"""``query --show``: each hit with its picture, in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.panel import Panel
from rich.segment import ControlType, Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from mmsearch.cli import formatting, streams
from mmsearch.cli.protocols import iterm2, kitty, sixel
from mmsearch.cli.streams import cell
from mmsearch.cli.terminal import Terminal, Way, find_out
from mmsearch.media.remote_path import link as link_of
from mmsearch.media.thumbnails import thumbnails

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmsearch.types import Hit

COLUMNS, ROWS = 28, 8  # of characters, that a picture may fill
SIDE = 320  # pixels of the longer side of a picture that is drawn by a protocol


def show(
    hits: Sequence[Hit], title: str, max_megapixels: float, way: Way | None = None,
    rough: Mapping[str, Image] | None = None,
) -> bool:  # fmt: skip
    """Print hits with their pictures; ``way`` says how they are drawn, whatever the output is.

    ``rough`` has pictures for some whose files are away, by path.
    Without it the terminal is asked.  Returns False, and prints nothing, where pictures cannot be drawn: the output is
    no terminal, or one without colours.
    """
    if way is None and not sys.stdout.isatty():
        return False
    console = streams.console(width=None if sys.stdout.isatty() else 100)
    terminal = find_out(way)
    if terminal.way == "blocks" and (console.color_system is None or console.no_color):
        if way is None:
            return False
        console = streams.console(width=console.width, force_terminal=True, color_system="truecolor", no_color=False)
    elif not console.is_terminal:
        console = streams.console(width=console.width, force_terminal=True)
    room = min(COLUMNS, console.width // 3)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=room)
    table.add_column(overflow="fold")
    pictures = thumbnails(hits, SIDE, max_megapixels, rough)
    for hit, picture in zip(hits, pictures, strict=True):
        if isinstance(picture, str):
            seen: RenderableType = Panel(cell(picture, "dim"), width=room, height=5, border_style="dim")
        else:
            seen = _drawn(picture, terminal, *_cells(picture, room, terminal))
        table.add_row(Group(seen, Text()), _told(hit, rough=hit.path in (rough or {})))
    console.print(cell(title, "bold"))
    console.print(table)
    return True


def _told(hit: Hit, rough: bool = False) -> RenderableType:
    """What stands beside the picture, which may be a ``rough`` one."""
    photo = hit.photo
    link = Style(link=link_of(hit.path)) if hit.path.isprintable() else Style()
    first = cell(f"{hit.rank}  ", "bold")
    first.append(formatting.score(hit), "green")
    where = formatting.place(hit.moments[0]) if hit.moments else ""
    for more in (where, formatting.probability(hit), formatting.answer(hit)):
        first.append(cell(f"  {more}" if more else ""))
    lines = [first, cell(formatting.shown(hit.path), link)]
    details = [
        "rough: the file is gone" if rough else "",
        f"{formatting.measures(photo)}  {photo.date:%Y-%m-%d %H:%M}",
        photo.exif.camera,
        formatting.noted(photo),
        ", ".join(hit.reasons),
        ", ".join(photo.tags),
        formatting.similar(hit),
    ]
    lines += [cell(formatting.printable(detail), "dim") for detail in details if detail]
    return Group(*lines, Text())


def _cells(image: Image, room: int, terminal: Terminal) -> tuple[int, int]:
    """Columns and rows that a picture fills: as large as there is room, in its own shape."""
    wide = image.width / image.height * terminal.height / terminal.width  # columns a row
    rows = min(ROWS, room / wide)
    return max(1, min(room, round(rows * wide))), max(1, round(rows))


def _drawn(image: Image, terminal: Terminal, columns: int, rows: int) -> RenderableType:
    if terminal.way == "kitty":
        return _Over(kitty(image, columns, rows), columns, rows)
    if terminal.way == "iterm2":
        return _Over(iterm2(image, columns, rows), columns, rows)
    if terminal.way == "sixel":
        return _Over(sixel(image, columns * terminal.width, rows * terminal.height), columns, rows)
    return _Blocks(image, columns, rows)


class _Over:
    """Blanks, and what makes the terminal draw over them."""

    def __init__(self, sequence: str, columns: int, rows: int) -> None:
        self._sequence, self._columns, self._rows = sequence, columns, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for _ in range(self._rows):
            yield Segment(" " * self._columns)
            yield Segment.line()
        # Remember the place, go up, draw, and come back.  As a control code, so that Rich neither measures nor cuts it.
        yield Segment(f"\x1b7\x1b[{self._rows}A{self._sequence}\x1b8", None, [(ControlType.CURSOR_UP, self._rows)])

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self._columns, self._columns)


class _Blocks:
    """A picture of upper half blocks: two pixels a character."""

    def __init__(self, image: Image, columns: int, rows: int) -> None:
        self._image = image.resize((columns, 2 * rows))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        width, height = self._image.size
        data = self._image.tobytes()
        colours = [Color.from_rgb(*data[at : at + 3]) for at in range(0, len(data), 3)]
        for top in range(0, height * width, 2 * width):
            above, below = colours[top : top + width], colours[top + width : top + 2 * width]
            for upper, lower in zip(above, below, strict=True):
                yield Segment("▀", Style(color=upper, bgcolor=lower))
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self._image.width, self._image.width)
