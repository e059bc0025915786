"""``mmsearch query``: find pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsearch.cli import present
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption, opened


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
) -> None:
    """Find pictures by words, by a picture, or by both.

    Words side by side are one phrase: mmsearch query a dog on a beach. A word with spaces in quotes, or a picture file,
    is a term of its own; several terms are averaged. A question, such as "is anyone wearing a red hat?", is answered
    for each picture.
    """
    if json and paths:
        raise typer.BadParameter("--json and --paths exclude each other")
    from mmsearch.query import Example, Words, parse

    def title(term: Words | Example) -> str:
        return present.shown(term.path) if isinstance(term, Example) else term.text

    with opened(library, device=device, auto="cpu") as found:
        wanted = parse(query)
        hits = found.search(wanted, k, within=within or [], rerank=rerank)
    if json:
        for hit in hits:
            present.json_line(present.hit_json(hit))
    elif paths:
        present.hit_paths(hits)
    elif hits:
        present.hit_table(hits, " + ".join(title(term) for term in wanted.terms))
    else:
        present.say("no pictures found" + (" there; `mmsearch status` shows the known folders" if within else ""))
