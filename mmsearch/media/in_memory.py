"""Pictures and vectors that a program has in memory, to search with: what they are, and what is wrong with them.

Neither NumPy nor Pillow is imported for what is no array and no image.
"""

from __future__ import annotations

import reprlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmsearch.types import Vectors

_ENCODED = (bytes, bytearray, memoryview)


def is_picture(value: object) -> bool:
    """Whether it is the content of a file or a Pillow image; of those, nothing says yet that they can be read."""
    return isinstance(value, _ENCODED) or is_image(value)


def is_image(value: object) -> bool:
    """Whether it is a Pillow image; there are none before Pillow was imported."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def array_of(value: object) -> NDArray[Any] | None:
    """An array, or what another library makes one of, such as a tensor on the CPU; None for what is neither.

    Raises ValueError, which says why, where that library cannot.
    """
    if not hasattr(value, "__array__"):
        return None
    import numpy as np

    try:
        return np.asarray(value)
    except Exception as error:  # of a tensor on a GPU, or one with a gradient
        raise ValueError(" ".join(str(error).split())) from error


def problem(content: object) -> str | None:
    """Why something can be no picture in memory, or None."""
    import numpy as np

    if isinstance(content, np.ndarray):
        if content.ndim != 3 or content.shape[2] != 3 or content.dtype != np.uint8:
            return f"pixels are an array (height, width, 3) of uint8, in RGB; this one is {described(content)}"
        return None if content.size else f"a picture without pixels cannot be searched for: {described(content)}"
    if not is_picture(content):
        return f"a picture is the bytes of a picture file, a Pillow image or an array, not {described(content)}"
    empty = isinstance(content, _ENCODED) and not len(content)
    return "the bytes of a picture are empty" if empty else None


def vector_problem(values: object) -> str | None:
    """Why something can be no vector to search with, or None."""
    import numpy as np

    if not isinstance(values, np.ndarray):
        return f"a vector is a NumPy array of numbers, not {described(values)}"
    if values.ndim != 1:
        return f"a vector is an array (dimensions,): one row; this one is {described(values)}"
    if not np.issubdtype(values.dtype, np.floating):
        return f"a vector has floating-point numbers; this one is {described(values)}"
    if not np.isfinite(values).all():
        return f"{np.count_nonzero(~np.isfinite(values))} of {len(values)} numbers of the vector are NaN or infinite"
    return None if values.any() else "the vector is zero: it points nowhere, so nothing is near to it"


def unit_vector(values: NDArray[Any]) -> Vectors:
    """A vector without problems in unit length, (dim,) float32."""
    import numpy as np

    large = values.astype(np.float64)
    large /= np.abs(large).max()  # else squares of very large or small numbers leave the range
    unit: Vectors = (large / np.linalg.norm(large)).astype(np.float32)
    return unit


def described(value: object) -> str:
    """A value in an error: its shape and kind where it is an array, else what Python writes, shortened."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{tuple(shape)} {dtype}"
    if isinstance(value, _ENCODED):
        return f"{len(value):,} bytes"
    return reprlib.repr(value)
