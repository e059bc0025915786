"""``mmsearch cluster reconcile``: the store and the engine that searches its vectors are made the same."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption, opened
from mmsearch.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from mmsearch.cluster.reconciling import Reconciled


def command(
    library: LibraryOption = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what differs.")] = False,
    json: JsonOption = False,
) -> None:
    """Compare the ids of a library on a server with those of pgvector or Milvus, which searches its vectors.

    What is missing there is handed over, what is of no photo is deleted there. Exit code 1 when something is left; with
    --dry-run that is all that differs.
    """
    from mmsearch.cluster.reconciling import reconcile

    with opened(library) as found, progress_bar("Comparing") as progress:
        lines = reconcile(found, dry=dry, progress=progress)
    with suppress(BrokenPipeError):  # the exit code says it too
        for one in lines:
            if json:
                formatting.json_line(schemas.reconciled(one))
            else:
                print(_line(one, dry))
    if not all(one.ok for one in lines):
        raise typer.Exit(1)


def _line(one: Reconciled, dry: bool) -> str:
    said = f"{one.model} ({one.engine}): {formatting.plural(one.wanted, 'vector')}"
    if one.missing or one.foreign:
        said += f", {one.missing:,} missing in the engine, {one.foreign:,} too many"
    if one.reason is not None:
        return f"{said}; left as it is: {formatting.printable(one.reason)}"
    if not (one.missing or one.foreign):
        return f"{said}, all in order"
    if dry:
        return said
    return f"{said}; {one.left:,} could not be mended" if one.left else f"{said}; mended"
