"""A library as files that other programs read: see ``manage/exchange.py`` for what is in them."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from mmsearch.errors import TransferError
from mmsearch.manage.exchange import (
    COLUMNS,
    CSV,
    FORMAT,
    MAP_COLUMNS,
    MODEL,
    ONE_ROW,
    PARQUET,
    REGIONS,
    VECTORS,
    Columns,
    columns,
    guarded,
    path_columns,
)
from mmsearch.manage.map.make import last_map
from mmsearch.media.filesystem import atomic_folder
from mmsearch.store.kept_map import KeptMap
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel
from mmsearch.types import Progress

# What systems put into an empty drive: Linux, Windows, macOS.
OF_A_DRIVE = {
    "lost+found", "System Volume Information", "$RECYCLE.BIN", ".Spotlight-V100", ".Trashes", ".fseventsd",
}  # fmt: skip
ROW_GROUP = 10_000  # rows of the Parquet file kept in memory: smaller groups make it larger and slower to read


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote."""

    files: int  # in photos.csv
    vectors: int  # rows of vectors.npy
    parquet: bool  # whether photos.parquet was written: pyarrow is an extra


def export(
    store: Store, model: StoredModel, folder: Path, progress: Callable[[Progress], None] | None = None
) -> ExportReport:
    """Write all that is known of the files that can be found, as it is at this moment, into a new or empty folder.

    ``folder`` gets its name when all is written.  ``progress`` is called after each block of vectors.  Raises
    TransferError.
    """
    target = new_folder(folder)
    try:
        with atomic_folder(target) as draft:
            return _write(store, model, draft, str(folder), progress)
    except OSError as error:
        raise TransferError(f"{folder} cannot be written: {error.strerror or error}") from error


def new_folder(folder: Path) -> Path:
    """Where a folder that the user names is, if it can be written: new, or an empty one.  Raises TransferError."""
    target = Path(os.path.realpath(os.path.expanduser(folder)))
    if target.exists() and not _empty(target):
        what = "is not empty" if target.is_dir() else "is a file"
        raise TransferError(f"{folder} {what}; name a folder that is new or empty")
    if not target.parent.is_dir():
        raise TransferError(f"{folder} cannot be made: there is no folder {target.parent}; make it first")
    return target


def _empty(folder: Path) -> bool:
    """Whether there is nothing in a folder, or in a drive nothing but what its system puts there."""
    return folder.is_dir() and all(folder.is_mount() and inside.name in OF_A_DRIVE for inside in folder.iterdir())


def _write(
    store: Store, model: StoredModel, folder: Path, shown: str, progress: Callable[[Progress], None] | None
) -> ExportReport:
    files = done = parts = 0
    roots = store.roots()
    lying = _Map(last_map(store, model))
    shape = COLUMNS | lying.columns
    with store.export_rows(model) as exported, ExitStack() as opened:
        total = exported.vectors()
        vectors = opened.enter_context(_array(folder / VECTORS, "<f2", (total, model.dim)))
        tokens = None
        if exported.region_card is not None:
            tokens = opened.enter_context(_array(folder / REGIONS, "|u1", (total, exported.region_bytes)))
        lines = csv.writer(opened.enter_context((folder / CSV).open("w", encoding="utf-8", newline="")))
        lines.writerow(shape)
        table = opened.enter_context(_parquet(folder / PARQUET, shape))
        for block in exported.blocks():
            vectors.write(b"".join(one or bytes(2 * model.dim) for one in block.vectors))  # sound has none
            if tokens is not None:
                tokens.write(b"".join(one or bytes(exported.region_bytes) for one in block.regions))
            rows = [columns(row, done + place) | lying.of(block.ids[place]) for place, row in block.files]
            lines.writerows([_cell(row[name]) for name in shape] for row in rows)
            if table is not None:
                table(rows)
            further = sum(bool(row["part"]) for row in rows)
            done, files, parts = done + len(block.vectors), files + len(rows) - further, parts + further
            if progress is not None:
                progress(Progress(done, total, shown))
        described = {
            "format": FORMAT if parts else ONE_ROW,
            "name": model.name,
            "fingerprint": model.fingerprint,
            "dim": model.dim,
            "count": total,
            "files": files,
            "regions": exported.region_card,
            "roots": [dict(zip(("path", "path_bytes"), path_columns(root), strict=True)) for root in roots],
        }
    (folder / MODEL).write_text(json.dumps(described, indent=2) + "\n", "utf-8")
    return ExportReport(files, total, (folder / PARQUET).exists())


@contextlib.contextmanager
def _array(file: Path, dtype: str, shape: tuple[int, int]) -> Iterator[IO[bytes]]:
    """A file of NumPy's format, to write the values into."""
    with file.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, {"descr": dtype, "fortran_order": False, "shape": shape})
        yield opened


@contextlib.contextmanager
def _parquet(file: Path, shape: dict[str, type]) -> Iterator[Callable[[list[Columns]], None] | None]:
    """Yields what writes rows to a Parquet file; None where pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        yield None
        return
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    texts, numbers = pyarrow.list_(pyarrow.string()), pyarrow.list_(pyarrow.float64())
    lists = {"tags": texts, "tag_scores": numbers, "people": texts, "own_tags": texts}
    schema = pyarrow.schema([(name, lists[name] if kind is list else types[kind]) for name, kind in shape.items()])
    waiting: list[Columns] = []
    # Opened here: pyarrow takes no path that is not UTF-8.
    with file.open("wb") as opened, ParquetWriter(opened, schema) as writer:

        def write(rows: list[Columns], enough: int = ROW_GROUP) -> None:
            waiting.extend(rows)
            if len(waiting) >= enough:
                writer.write_table(pyarrow.Table.from_pylist(waiting, schema))
                waiting.clear()

        yield write
        write([], 0)


class _Map:
    """What the last map says of pictures, by the ids of their vectors; nothing where there is none."""

    def __init__(self, kept: KeptMap | None) -> None:
        self._kept = kept
        self.columns = {} if kept is None else MAP_COLUMNS

    def of(self, number: int) -> Columns:
        if self._kept is None:
            return {}
        kept, nothing = self._kept, dict.fromkeys(MAP_COLUMNS)
        at = int(np.searchsorted(kept.ids, number))
        if at == len(kept.ids) or kept.ids[at] != number:
            return nothing
        x, y = kept.places[at].tolist()
        cluster = int(kept.of[at])
        named = {"cluster": cluster, "cluster_name": kept.clusters[cluster - 1].name} if cluster else {}
        return {**nothing, "x": x, "y": y, **named}


def _cell(value: Any) -> str:
    """As the CSV has it; nothing and an empty text are told apart by the columns beside them."""
    if value is None:
        return ""
    if isinstance(value, str):
        return guarded(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else repr(value)
