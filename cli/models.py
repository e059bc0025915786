"""``mmsearch models``: which encoders can be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import JsonOption, LibraryOption
from mmsearch.cli.progress_bar import working
from mmsearch.cli.streams import cell, console

if TYPE_CHECKING:
    from mmsearch.config import Settings
    from mmsearch.store.types import StoredModel

TERMS = (
    "embedded was trained on photos and captions for non-commercial research and education, see its MODEL_CARD.md; "
    "other models have the terms of those who made them"
)


def command(
    library: LibraryOption = None,
    full: Annotated[bool, typer.Option("--all", help="List every open_clip model, not only the nearest.")] = False,
    json: JsonOption = False,
) -> None:
    """List the models that --model takes: which are on this machine, their dimensions, sizes and languages."""
    from mmsearch import config
    from mmsearch.cli.pager import paged
    from mmsearch.encoders.catalogue import available
    from mmsearch.library.library_file import located

    settings = config.load()
    with working("Looking for models"):
        found = available(settings.cache, full, (settings.cpu_model, settings.gpu_model))
    used = _used(*located(library, settings))
    name, fingerprint = (used.name, used.fingerprint) if used is not None else (None, None)
    exact = fingerprint is not None and any(fingerprint == model.fingerprint for model in found)
    using = [model.fingerprint == fingerprint if exact else model.name == name for model in found]
    if json:
        for model, in_use in zip(found, using, strict=True):
            formatting.json_line(schemas.model(model, in_use))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("Model", "Dim", "Pixels", "Size", "Languages", "Where"):
        number, long = (
            column in ("Dim", "Pixels", "Size"),
            column in ("Model", "Where"),
        )  # folded, never cut
        table.add_column(column, justify="right" if number else "left", no_wrap=not long, overflow="fold")
    for model, in_use in zip(found, using, strict=True):
        size = formatting.size(model.bytes) if model.bytes else ""
        where = f"{model.where} in int8" if model.precision == "int8" else model.where
        where += ", in use" if in_use else ""
        pixels, languages = str(model.image_size or ""), model.languages or "unknown"
        table.add_row(*map(cell, (model.name, str(model.dim or ""), pixels, size, languages, where)))
    with paged():
        console(width=None if sys.stdout.isatty() else 1000).print(table)
    formatting.say(TERMS)


def _used(place: str | Path, settings: Settings) -> StoredModel | None:
    """The model of the library there, if there is one."""
    from mmsearch.config import is_address
    from mmsearch.errors import NoModelError
    from mmsearch.store.open import has_store, open_address, open_store

    if is_address(place):
        try:
            with open_address(place, settings.cache, 1, create=False) as store:
                return store.model()
        except NoModelError:
            return None
    folder = Path(place)
    if not has_store(folder):
        return None
    with open_store(folder) as store:
        return store.model()
