"""Photos and hits as rows of a table with fixed columns, for Arrow, pandas and polars.

Columns have the names of the JSON keys.  Dates are the local time of the camera, a time zone is left out.  A path whose
bytes are no UTF-8 has these in ``path_bytes``, in hexadecimal digits, and ``path`` is then only for people, as in the
files of an export.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mmsearch.integrations.needed import needed
from mmsearch.manage.exchange import SHOT, path_columns
from mmsearch.types import Hit, Photo

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]  # column -> value of its type, None for none

PHOTO: dict[str, type] = {
    "id": int,
    "path": str,
    "width": int,  # upright, in pixels
    "height": int,
    "format": str,
    "bytes": int,
    "date": datetime,  # when it was taken; where the file does not say, when it was last written
    "taken_at": datetime,
    "camera": str,
    "lens": str,
    "latitude": float,  # degrees
    "longitude": float,
    "iso": int,
    "aperture": float,  # f-number
    "exposure": float,  # seconds
    "focal": float,  # millimetres
    "caption": str,
    "description": str,
    "text": str,  # read in the picture
    "tags": list,  # the surest first
    "city": str,
    "people": list,
    "rating": int,
    "label": str,
    "path_bytes": str,
}
HIT: dict[str, type] = {
    "rank": int,
    "score": float,
    "relevance": float,
    "first_stage": float,
    "answer": str,
    "answer_confidence": float,
    "reasons": list,
    "similar": list,
    **PHOTO,
}


def photo_row(photo: Photo) -> Row:
    """The values of ``PHOTO``."""
    path, path_bytes = path_columns(photo.path)
    exif, noted = photo.exif, photo.annotations
    shot = {name: getattr(exif, name) for name in SHOT}
    return {
        "id": photo.id,
        "path": path,
        "width": photo.width,
        "height": photo.height,
        "format": photo.format,
        "bytes": photo.size,
        "date": _local(photo.date),
        "taken_at": _local(exif.taken_at),
        "camera": exif.camera,
        "lens": exif.lens,
        "latitude": exif.latitude,
        "longitude": exif.longitude,
        **shot,
        "caption": photo.caption,
        "description": photo.description,
        "text": photo.text,
        "tags": list(photo.tags),
        "city": noted.city,
        "people": list(noted.people),
        "rating": noted.rating,
        "label": noted.label,
        "path_bytes": path_bytes or None,
    }


def hit_row(hit: Hit) -> Row:
    """The values of ``HIT``."""
    return {
        "rank": hit.rank,
        "score": hit.score,
        "relevance": hit.relevance,
        "first_stage": hit.first_stage,
        "answer": hit.answer,
        "answer_confidence": hit.answer_confidence,
        "reasons": list(hit.reasons),
        "similar": [path_columns(path)[0] for path in hit.similar],
        **photo_row(hit.photo),
    }


def _local(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=None)


def batches(columns: Mapping[str, type], blocks: Iterable[Sequence[Row]]) -> Iterator[pyarrow.RecordBatch]:
    """A record batch a block of rows.  Raises MMSearchError (``needs-tables``) where pyarrow is not installed."""
    arrow = needed("pyarrow", "tables", "a table")
    schema = _schema(columns)
    for rows in blocks:
        yield arrow.RecordBatch.from_pylist(rows, schema)


def arrow_table(columns: Mapping[str, type], blocks: Iterable[Sequence[Row]]) -> pyarrow.Table:
    """All rows as an Arrow table, whose columns have their types without rows too.  Raises as ``batches``."""
    arrow = needed("pyarrow", "tables", "a table")
    return arrow.Table.from_batches(batches(columns, blocks), _schema(columns))


def _schema(columns: Mapping[str, type]) -> pyarrow.Schema:
    arrow = needed("pyarrow", "tables", "a table")
    types = {
        str: arrow.string(),
        int: arrow.int64(),
        float: arrow.float64(),
        datetime: arrow.timestamp("us"),
        list: arrow.list_(arrow.string()),
    }
    return arrow.schema([(name, types[kind]) for name, kind in columns.items()])
