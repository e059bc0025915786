"""``mmsearch query``: find pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsearch.cli import present
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption, opened
from mmsearch.cli.results import Results


def command(
    query: Annotated[list[str], typer.Argument(metavar="QUERY", help="Words, or picture files.")],
    library: LibraryOption = None,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="How many pictures.")] = 10,
    within: Annotated[
        list[str] | None,
        typer.Option("--in", metavar="PATH", help="Only in this folder. May be repeated."),
    ] = None,
    rerank: Annotated[
        bool | None,
        typer.Option("--rerank/--no-rerank", help="Look at the best pictures again. Default: where it helps."),
    ] = None,
    device: DeviceOption = None,
    json: JsonOption = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print only the paths.")] = False,
    print0: Annotated[
        bool, typer.Option("--print0", "-0", help="Print only the paths, each ended by a NUL, for xargs -0.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Show the pictures in the terminal.")] = False,
    show_as: Annotated[
        str | None,
        typer.Option("--show-as", metavar="kitty|iterm2|sixel|blocks", help="Show them so, whatever the terminal is."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a contact sheet, an HTML file of its own.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the contact sheet, or else the best picture.")] = False,
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", metavar="DIR", help="Copy the pictures there; overwrites nothing.")
    ] = None,
    numbered: Annotated[bool, typer.Option("--numbered", help="With --copy-to: put the rank before names.")] = False,
) -> None:
    """Find pictures by words, by a picture, or by both.

    Words side by side are one phrase: mmsearch query a dog on a beach. A word with spaces in quotes, or a picture file,
    is a term of its own; several terms are averaged. A question, such as "is anyone wearing a red hat?", is answered
    for each picture.
    """
    results = Results(json, paths, print0, show, show_as, html, open_, copy_to, numbered)
    sheet = results.check()
    from mmsearch.query import Example, Words
    from mmsearch.query_language import parse

    def title(term: Words | Example) -> str:
        return present.shown(term.path) if isinstance(term, Example) else term.text

    with opened(library, device=device, auto="cpu") as found:
        wanted = parse(query)
        hits = found.search(wanted, k, within=within or [], rerank=rerank)
        limit = found.settings.max_megapixels
    nothing = "no pictures found" + (" there; `mmsearch status` shows the known folders" if within else "")
    results.give(hits, " + ".join(title(term) for term in wanted.terms), limit, nothing, sheet)
