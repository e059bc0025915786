"""Matrices of a model folder as int8 rows, each with a scale: half of what float16 takes.

What maps a space to itself is mostly its diagonal, which is kept apart: else it would be the scale of its row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import said
from mmsearch.encoders.region_codec import quantized
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import atomic_file, read_array


def write(file: Path, rows: NDArray[np.floating]) -> None:
    """A matrix (n, m), whole or not at all: an array of n records ``scale``, ``diagonal``, ``row``."""
    records = np.zeros(len(rows), [("scale", "<f2"), ("diagonal", "<f2"), ("row", "i1", rows.shape[1:])])
    rest, own = rows.copy(), np.arange(min(rows.shape))
    records["diagonal"][own], rest[own, own] = rows[own, own], 0
    records["row"], records["scale"] = quantized(rest)
    with atomic_file(file) as draft, draft.open("wb") as opened:
        np.save(opened, records)


def read(file: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    """A matrix of this shape that ``write`` wrote, or of plain numbers, as older files hold it.

    Raises OSError; ValueError or EOFError for what is none, or holds what is no finite number.
    """
    stored: NDArray[Any] = read_array(file)
    if stored.dtype.names is None and stored.dtype.kind == "f":
        rows = stored.astype(np.float32)
    elif stored.dtype.names == ("scale", "diagonal", "row") and stored.shape == shape[:1]:
        rows = stored["row"].astype(np.float32) * stored["scale"].astype(np.float32)[:, None]
        own = np.arange(min(rows.shape))
        rows[own, own] += stored["diagonal"][own].astype(np.float32)
    else:
        raise ValueError(f"{stored.dtype} where floating-point numbers or int8 rows are wanted")
    if rows.shape != shape or not np.isfinite(rows).all():
        raise ValueError(f"{rows.shape} where {shape} finite numbers are wanted")
    return rows


def read_if_there(file: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """That of a model folder; None where there is none.  Raises ModelError for a damaged one."""
    try:
        return read(file, shape)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{file} cannot be used: {said(error)}; install mmsearch again") from error
