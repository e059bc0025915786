"""Lists of addresses: a Parquet or CSV file with a column of them, or a text with one a line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from mmsearch.errors import MMSearchError, SourceError
from mmsearch.media import object_store
from mmsearch.media.filesystem import open_regular
from mmsearch.media.remote_path import is_remote
from mmsearch.types import PathLike

COLUMN = "url"
_TABLES = {".csv": ",", ".tsv": "\t"}


def addresses_of(urls: PathLike | Sequence[str]) -> list[str]:
    """The addresses as they are written, of a list or of the file of one; none for an empty list.

    A file is a Parquet, a CSV or TSV with a column ``url``, in whatever case, or whose only column of texts holds them;
    or else a text with an address a line, where lines that begin with ``#`` are none.  Raises SourceError for one that
    cannot be read or names nothing; MMSearchError, code ``needs-objects`` or ``needs-export``, for a missing package.
    """
    if not isinstance(urls, (str, os.PathLike)):
        found = list(urls)
    else:
        path = os.path.expanduser(urls)
        try:
            with open_regular(path) as opened:
                found = [line for text in _texts(opened, path) if (line := text.strip())]
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{path} is no list of addresses: {error}") from error
        if not any(is_remote(one) for one in found):
            raise SourceError(f"{path} names no address: s3://, gs://, az://, http:// or https://")
    if found:
        object_store.need()
    return found


def _texts(opened: BinaryIO, path: str) -> Iterator[str]:
    if opened.read(4) == b"PAR1":
        opened.seek(0)
        yield from _of_parquet(opened, path)
        return
    opened.seek(0)
    with io.TextIOWrapper(opened, "utf-8-sig", newline="") as lines:
        separator = _TABLES.get(os.path.splitext(path)[1].lower())
        if separator is None:
            yield from (line for line in lines if not line.startswith("#"))
        else:
            yield from _of_table(csv.reader(lines, delimiter=separator), path)


def _of_table(rows: Iterator[list[str]], path: str) -> Iterator[str]:
    first = next(rows, [])
    if len(first) == 1 and is_remote(first[0]):  # without a head
        yield first[0]
    column = _column(path, first, first)
    for row in rows:
        if len(row) > column:
            yield row[column]


def _of_parquet(opened: BinaryIO, path: str) -> Iterator[str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MMSearchError(
            f"reading Parquet needs pyarrow; run: pip install 'mmsearch[export]' ({error})",
            code="needs-export",
            extra="export",
        ) from error
    try:
        table = parquet.ParquetFile(opened)
        types: Any = table.schema_arrow
        kinds = (pyarrow.types.is_string, pyarrow.types.is_large_string)
        texts = [one.name for one in types if any(fits(one.type) for fits in kinds)]
        name = types.names[_column(path, types.names, texts)]
        for batch in table.iter_batches(columns=[name]):
            yield from (text for text in batch.column(0).to_pylist() if isinstance(text, str))
    except pyarrow.ArrowException as error:
        raise SourceError(f"{path} is no Parquet that can be read: {' '.join(str(error).split())[:200]}") from error


def _column(path: str, names: Sequence[str], texts: Sequence[str]) -> int:
    """Which column has the addresses: the one that is called so, or the only one of texts."""
    named = [place for place, name in enumerate(names) if name.strip().lower() == COLUMN]
    if named:
        return named[0]
    if len(texts) == 1:
        return list(names).index(texts[0])
    raise SourceError(f"{path} has no column {COLUMN!r}; its columns are: {', '.join(names) or 'none'}")
