"""An export, or vectors that another program made, into a library: no picture is encoded.

All is looked at before anything is written, and what the library knows already stays: so an import may be repeated.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import RegionCard
from mmsearch.encoders.region_codec import size, unpack
from mmsearch.errors import LibraryError, TransferError
from mmsearch.ingest.options import Options
from mmsearch.ingest.prefetch import ahead, batches
from mmsearch.ingest.read import Read, read_file
from mmsearch.manage.exchange import (
    ADDED,
    COLUMNS,
    CSV,
    FORMAT,
    MODEL,
    NEEDED,
    REGIONS,
    VECTORS,
    export_row,
    path_of,
    short,
    unguarded,
)
from mmsearch.media.discover import walk
from mmsearch.media.filesystem import open_regular, read_array, read_text
from mmsearch.media.remote_path import is_absolute, is_remote
from mmsearch.store.paths import as_walked, storable
from mmsearch.store.protocol import Store
from mmsearch.store.types import FINGERPRINT, WIDEST, ExportRow, StoredModel
from mmsearch.types import Found, PathLike, Preprocess, Progress, Skipped, Vectors

OnProgress = Callable[[Progress], None] | None

BATCH = 500  # files a transaction
BLOCK = 8192  # vectors looked at together
LISTED = 30  # columns named in a message
MESSAGE = 200  # characters of what is told of a damaged file
ROUNDED = 1e-3  # that rounding to float16 may change the length of a vector; such a one is stored as it is


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    added: int  # files that can now be found
    known: int  # files that the library knew already: they stay as they were
    skipped: tuple[Skipped, ...]  # files that are not there or cannot be read; only of vectors of another program
    model: str
    seconds: float


@dataclass(frozen=True)
class Made:
    """What ``model.json`` says."""

    name: str
    fingerprint: str
    dim: int
    regions: str | None  # fingerprint of the RegionCard of regions.npy
    roots: tuple[str, ...]


@dataclass(frozen=True)
class ImportFolder:
    """A folder to import, with nothing wrong in it."""

    folder: Path
    vectors: NDArray[Any]  # (n, dim) float16 or float32, of any length; mapped, not read
    regions: NDArray[np.uint8] | None  # (n, bytes), mapped too
    made: Made | None  # by which model; None for vectors of another program
    files: int


def check_model(given: ImportFolder, folder: PathLike, model: str | None) -> None:
    """Whether ``model`` is named where the folder does not say which model made its vectors, and only there.

    Raises TransferError.
    """
    named = model is not None and model != "auto"
    if given.made is None and not named:
        raise TransferError(f"{folder} has no model.json: say which model made its vectors", code="no-model")
    if given.made is not None and named:
        raise TransferError(
            f"{folder} says itself which model made its vectors ({given.made.name})", code="model-is-known"
        )


def look(folder: Path) -> ImportFolder:
    """A folder that ``export`` wrote, or with vectors of another program, looked at from end to end; nothing is stored.

    Raises TransferError, with file and line or row, for whatever is wrong in it.
    """
    folder = Path(os.path.realpath(os.path.expanduser(folder)))
    if not folder.is_dir():
        what = "is a file; wanted is a folder" if folder.exists() else "no such folder"
        raise TransferError(f"{folder}: {what}")
    vectors = _array(folder / VECTORS)
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or vectors.dtype.itemsize not in (2, 4):
        raise TransferError(
            f"{folder / VECTORS} has {vectors.dtype} of shape {vectors.shape}; wanted is (number of files, dimensions) "
            "in float16 or float32"
        )
    made = _made(folder / MODEL) if (folder / MODEL).exists() else None
    if made is not None and made.dim != vectors.shape[1]:
        raise TransferError(
            f"{folder / VECTORS} has {vectors.shape[1]} dimensions, {folder / MODEL} says {made.dim}; do both belong "
            "to the same export?"
        )
    regions = None
    if made is not None and made.regions is not None:
        regions = _array(folder / REGIONS)
        if regions.ndim != 2 or regions.dtype != np.uint8 or len(regions) != len(vectors):
            raise TransferError(
                f"{folder / REGIONS} has {regions.dtype} of shape {regions.shape}; wanted is ({len(vectors)}, bytes) "
                "in uint8"
            )
    empty: set[int] = set()  # rows that stand for sound
    for start in range(0, len(vectors), BLOCK):
        lengths = _lengths(vectors[start : start + BLOCK])
        empty.update((start + np.flatnonzero(lengths == 0)).tolist())
        wrong = np.flatnonzero(~(np.isfinite(lengths) & ((lengths > 0) | (made is not None))))
        if len(wrong):
            raise _nowhere(folder, start + int(wrong[0]), "zero" if lengths[wrong[0]] == 0 else "not finite")
    source = ImportFolder(folder, vectors, regions, made, 0)
    listed: Iterator[object] = _paths(source) if made is None else _by_file(_with_directions(source, empty))
    return ImportFolder(folder, vectors, regions, made, sum(1 for _ in listed))


def _with_directions(source: ImportFolder, empty: set[int]) -> Iterator[tuple[int, ExportRow]]:
    """The rows of an export; raises TransferError for one that is no sound and whose vector is among the ``empty``."""
    for row, exported in _export_rows(source):
        if row in empty and not exported.is_sound:
            raise _nowhere(source.folder, row, "zero")
        yield row, exported


def _nowhere(folder: Path, row: int, what: str) -> TransferError:
    where = f"{folder / VECTORS}: row {row} (from 0) is {what}"
    return TransferError(f"{where}, so it points nowhere; leave it out, and its line in {CSV} too")


def check_regions(source: ImportFolder, card: RegionCard | None) -> None:
    """Whether the region tokens are what ``card`` says, that of the model's own where it is known.

    Raises TransferError.
    """
    if source.regions is None or card is None or source.made is None or card.fingerprint != source.made.regions:
        return
    count, wanted = card.side**2, size(card.side**2, card.dim)
    if source.regions.shape[1] != wanted:
        raise TransferError(
            f"{source.folder / REGIONS} has rows of {source.regions.shape[1]:,} bytes; {count} regions of {card.dim} "
            f"dimensions take {wanted:,}"
        )
    for number, row in enumerate(source.regions):
        try:
            unpack([row.tobytes()], count, card.dim)
        except LibraryError as error:
            raise TransferError(f"{source.folder / REGIONS}: row {number} (from 0) holds no region tokens") from error


def take_export(store: Store, model: StoredModel, source: ImportFolder, progress: OnProgress = None) -> ImportReport:
    """Store what an export of mmsearch says; the files need not be there.

    ``model`` is the library's, with as many dimensions as ``source`` has.  ``progress`` is called after each batch of
    files.  Raises TransferError where the folder has changed since ``look``, LibraryError.
    """
    begun = time.perf_counter()
    assert source.made is not None
    with store.writing() as writer:
        for root in source.made.roots:
            writer.add_root(root)
    added = known = 0
    for batch in batches(_by_file(_export_rows(source)), BATCH, len):
        existing = store.existing_paths([rows[0][1].file.path for rows in batch])
        files = [rows for rows in batch if rows[0][1].file.path not in existing and _fit(store, model, rows)]
        new = [one for rows in files for one in rows]
        if new:
            rows = np.array([row for row, _ in new], np.int64)
            vectors = unit(source.vectors[rows])
            tokens = [None] * len(new) if source.regions is None else [_tokens(row) for row in source.regions[rows]]
            with store.writing() as writer:
                for (_, exported), vector, region_tokens in zip(new, vectors, tokens, strict=True):
                    writer.put_export_row(exported, vector, region_tokens, source.made.regions, model)
        added, known = added + len(files), known + len(batch) - len(files)
        if progress is not None:
            progress(Progress(added + known, source.files, batch[-1][0][1].file.path))
    return ImportReport(added, known, (), model.name, round(time.perf_counter() - begun, 3))


def take_vectors(
    store: Store,
    model: StoredModel,
    preprocess: Preprocess,
    source: ImportFolder,
    options: Options,
    progress: OnProgress = None,
) -> ImportReport:
    """Store vectors that another program made of files, which are read, but not encoded.

    ``preprocess`` is that of ``model``; ``options`` says how many files are read at once, and how large.  ``progress``
    is called after each batch of files.  Raises TransferError where the folder has changed since ``look``,
    LibraryError.
    """
    begun = time.perf_counter()
    contents = store.contents(model)
    skipped: list[Skipped] = []
    added = known = 0

    def fresh() -> Iterator[tuple[int, str]]:
        nonlocal known
        for some in batches(_paths(source), BATCH):
            existing = store.existing_paths([path for _, path in some])
            known += sum(path in existing for _, path in some)
            yield from (one for one in some if one[1] not in existing)

    def read(job: tuple[int, str]) -> tuple[int, Read]:
        row, path = job
        found = Skipped(path, "is a folder") if os.path.isdir(path) else next(walk(path))
        if isinstance(found, Skipped):
            return row, Read(Found(path, 0, 0), failure=found.reason)
        return row, read_file(found, lambda one: one not in contents, preprocess, options.max_megapixels)

    for batch in batches(ahead(fresh(), read, options), options.batch):
        vectors = unit(source.vectors[np.array([row for row, _ in batch], np.int64)])
        with store.writing() as writer:
            for (_, item), vector in zip(batch, vectors, strict=True):
                if item.failure is not None:
                    skipped.append(Skipped(item.file.path, item.failure))
                    continue
                if item.picture is not None and item.picture.is_sound:
                    skipped.append(Skipped(item.file.path, "is sound, which has no vector"))
                    continue
                if item.picture is not None:
                    contents[item.content_hash] = writer.put(item.content_hash, item.picture, vector, model)
                writer.place(item.file, contents[item.content_hash])
                added += 1
        if progress is not None:
            progress(Progress(added + known + len(skipped), source.files, batch[-1][1].file.path))
    return ImportReport(added, known, tuple(skipped), model.name, round(time.perf_counter() - begun, 3))


def unit(rows: NDArray[Any]) -> Vectors:
    """(n, dim) of any length -> (n, dim) of length 1; what is so but for rounding to float16 stays as it is."""
    lengths = _lengths(rows)
    lengths[(np.abs(lengths - 1) < ROUNDED) | (lengths == 0)] = 1
    return (rows / lengths[:, None]).astype(np.float32)


def _lengths(rows: NDArray[Any]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(rows.astype(np.float64), axis=1)
    return lengths


def _tokens(row: NDArray[np.uint8]) -> bytes | None:
    return row.tobytes() if row.any() else None


def _array(file: Path) -> NDArray[Any]:
    try:
        found = read_array(file, mapped=True)
    except FileNotFoundError as error:
        raise TransferError(f"{file}: no such file; a folder to import has {VECTORS} and {CSV}") from error
    except (OSError, ValueError, EOFError) as error:
        raise TransferError(f"{file} is no array in NumPy's format, or is cut off: {error}") from error
    if not isinstance(found, np.ndarray):
        raise TransferError(f"{file} holds several arrays; wanted is one, as numpy.save writes it")
    return found


def _made(file: Path) -> Made:
    try:
        described = json.loads(read_text(file))
        version = described["format"]
        if not isinstance(version, int) or version < 1:
            raise ValueError(f"its format is {version!r}")
        if version > FORMAT:
            raise TransferError(
                f"{file} was written by a newer version of mmsearch (format {version}, this one knows {FORMAT}); "
                "upgrade with: pip install --upgrade mmsearch"
            )
        roots = tuple(path_of(root["path"], root["path_bytes"]) for root in described["roots"])
        made = Made(described["name"], described["fingerprint"], described["dim"], described["regions"], roots)
        _check_made(made)
    except OSError as error:
        raise TransferError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        reason = str(error)[:MESSAGE] or type(error).__name__
        raise TransferError(f"{file} is not what an export holds: {reason}") from error
    return made


def _check_made(made: Made) -> None:
    """Raises ValueError or TypeError for what no export says of its model and its folders."""
    if not (type(made.dim) is int and 1 <= made.dim <= WIDEST):
        raise ValueError(f"dim is {short(made.dim)}; wanted is a number of dimensions")
    if not (isinstance(made.name, str) and 0 < len(made.name) <= MESSAGE and made.name.isprintable()):
        raise ValueError(f"name is {short(made.name)}; wanted is that of a model")
    for name, value in (("fingerprint", made.fingerprint), ("regions", made.regions)):
        if value is None and name == "regions":
            continue
        if not (isinstance(value, str) and FINGERPRINT.fullmatch(value)):  # names of files are made of it
            raise ValueError(f"{name} is {short(value)}; wanted are letters, digits and hyphens")
    for root in made.roots:
        os.fsencode(root)
        if not storable(root) or os.path.dirname(root) == root:
            raise ValueError(f"one of its folders is {short(root)}; wanted is an absolute path of a folder")


def _lines(source: ImportFolder, wanted: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each line of the table stands, for messages, and its cells by column."""
    file = source.folder / CSV
    # Of another program's table a path may be in whatever bytes the system has.
    errors = "surrogateescape" if source.made is None else "strict"
    try:
        with io.TextIOWrapper(open_regular(file), "utf-8-sig", errors, newline="") as opened:
            reader = csv.DictReader(opened, strict=True, restval="")
            lacking = [name for name in wanted if name not in (reader.fieldnames or ())]
            if lacking:
                named = list(reader.fieldnames or ())
                got = ", ".join(name[:40] for name in named[:LISTED]) or "none"
                more = f" and {len(named) - LISTED:,} more" if len(named) > LISTED else ""
                raise TransferError(f"{file} lacks the column {', '.join(lacking)}; its columns are: {got}{more}")
            for cells in reader:
                yield f"{file}, line {reader.line_num}", cells
    except FileNotFoundError as error:
        raise TransferError(f"{file}: no such file; a folder to import has {VECTORS} and {CSV}") from error
    except OSError as error:
        raise TransferError(f"{file} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TransferError(f"{file} is no table in UTF-8 with commas between columns: {error}") from error


def _paths(source: ImportFolder) -> Iterator[tuple[int, str]]:
    """Row and file of each vector of another program.

    A path is as the walk of ``mmsearch index`` would write it: links of its folder are followed, it itself is not.
    """
    number = 0
    numbered = False
    for where, cells in _lines(source, ["path"]):
        numbered = "row" in cells
        row = _row(source, where, cells["row"]) if numbered else number
        yield row, as_walked(source.folder, _path(where, cells))
        number += 1
    if not numbered and number != len(source.vectors):
        raise TransferError(
            f"{source.folder / CSV} has {number} lines below its heads, {source.folder / VECTORS} "
            f"{len(source.vectors)} rows; wanted is a line a row, or a column named row"
        )


def _export_rows(source: ImportFolder) -> Iterator[tuple[int, ExportRow]]:
    """Row and file of each line of an export."""
    for where, cells in _lines(source, [name for name in COLUMNS if name not in ADDED]):
        row, path = _row(source, where, cells["row"]), _path(where, cells)
        if not is_absolute(path):
            raise TransferError(f"{where}: {short(path)} is no absolute path on this system")
        if not storable(path) or not _below(path, source.made.roots if source.made else ()):
            raise TransferError(f"{where}: {short(path)} is in none of the folders that {MODEL} says were indexed")
        known = {name: _value(where, name, kind, cells.get(name, "")) for name, kind in COLUMNS.items()}
        empty = [name for name in NEEDED if known[name] is None]
        if empty:
            raise TransferError(f"{where}: {', '.join(empty)} must not be empty")
        try:
            exported = export_row(path, known)
        except (ValueError, TypeError, RecursionError) as error:
            raise TransferError(f"{where}: {str(error)[:MESSAGE]}; this is not what an export holds") from error
        yield row, exported


def _by_file(rows: Iterable[tuple[int, ExportRow]]) -> Iterator[list[tuple[int, ExportRow]]]:
    """The rows of each file together, so that a film is stored whole or not at all."""
    begun: dict[str, list[tuple[int, ExportRow]]] = {}  # of films and documents; their rows need not follow each other
    for row, exported in rows:
        if exported.parts is None or exported.parts == 1:
            yield [(row, exported)]
            continue
        own = begun.setdefault(exported.file.path, [])
        own.append((row, exported))
        if len(own) == exported.parts:
            yield begun.pop(exported.file.path)
    yield from begun.values()  # of which a part had no vector


def _fit(store: Store, model: StoredModel, rows: Sequence[tuple[int, ExportRow]]) -> bool:
    """Whether what is stored of the content has no other parts: then the next index run encodes these."""
    stored = {(one.part, one.at_ms) for one in store.parts_of(rows[0][1].hash, model)}
    return not stored or {(exported.part or 0, exported.at_ms) for _, exported in rows} <= stored


def _below(path: str, roots: Sequence[str]) -> bool:
    return is_remote(path) or any(path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def _row(source: ImportFolder, where: str, cell: str) -> int:
    try:
        row = int(cell)
    except ValueError as error:
        raise TransferError(f"{where}: row is {short(cell)}; wanted is a whole number from 0") from error
    if not 0 <= row < len(source.vectors):
        raise TransferError(f"{where}: row is {row}, {source.folder / VECTORS} has rows 0 to {len(source.vectors) - 1}")
    return row


def _path(where: str, cells: dict[str, str]) -> str:
    try:
        path = path_of(unguarded(cells["path"]), cells.get("path_bytes", ""))
    except ValueError as error:
        raise TransferError(
            f"{where}: path_bytes is {short(cells['path_bytes'])}; wanted are hexadecimal digits"
        ) from error
    if not path or "\0" in path:
        raise TransferError(f"{where}: path is {short(path)}; wanted is a file")
    return path


def _value(where: str, name: str, kind: Any, cell: str) -> Any:
    """What a cell says; None for an empty one."""
    if not cell:
        return None
    try:
        if kind is str:
            return unguarded(cell)
        value = json.loads(cell) if kind is list else kind(cell)
        fits = isinstance(value, list) if kind is list else -(2**63) <= value < 2**63  # no NaN either
        if not fits:
            raise ValueError
    except (ValueError, RecursionError) as error:
        wanted = {int: "a whole number", float: "a number", list: "a list in JSON"}[kind]
        raise TransferError(f"{where}: {name} is {short(cell)}; wanted is {wanted}") from error
    return value
