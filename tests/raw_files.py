"""A camera raw file made by code: a DNG of one shot, as LibRaw reads it, with or without a preview."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_CODES = {1: "B", 3: "H", 4: "I", 5: "I", 10: "i"}  # types of TIFF values; 5 and 10 are pairs
# What turns XYZ into the numbers of the sensor: here those of sRGB.
_COLOURS = (32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572)
_BLACK, _WHITE = 200, 60_200  # of the sensor


def dng(
    photo: Image.Image,
    preview: Image.Image | None = None,
    orientation: int = 1,
    camera: str = "Abc X1",
    taken: str = "2020:01:02 03:04:05",
) -> bytes:
    """``photo`` as a sensor with red, green and blue in a pattern sees it; ``preview`` is the JPEG inside."""
    width, height = photo.size
    sensor = _mosaic(np.asarray(photo.convert("RGB"))).tobytes()
    jpeg = b""
    if preview is not None:
        buffer = io.BytesIO()
        preview.save(buffer, "JPEG", quality=95)
        jpeg = buffer.getvalue() + bytes(len(buffer.getvalue()) % 2)
    body = sensor + jpeg
    raw: dict[int, tuple[int, Any]] = {
        254: (4, [0]), 256: (4, [width]), 257: (4, [height]), 258: (3, [16]), 259: (3, [1]), 262: (3, [32_803]),
        273: (4, [8]), 277: (3, [1]), 278: (4, [height]), 279: (4, [len(sensor)]), 33_421: (3, [2, 2]),
        33_422: (1, [0, 1, 1, 2]), 50_714: (4, [_BLACK]), 50_717: (4, [_WHITE]),
    }  # fmt: skip
    raw_at = 8 + len(body)
    body += _directory(raw, raw_at)
    make, _, model = camera.partition(" ")
    main: dict[int, tuple[int, Any]] = {
        271: (2, f"{make}\0".encode()), 272: (2, f"{model}\0".encode()), 274: (3, [orientation]),
        306: (2, f"{taken}\0".encode()), 330: (4, [raw_at]), 50_706: (1, [1, 4, 0, 0]), 50_707: (1, [1, 1, 0, 0]),
        50_708: (2, f"{camera}\0".encode()), 50_721: (10, [n for value in _COLOURS for n in (value, 10_000)]),
        50_728: (5, [1] * 6), 50_778: (3, [21]),
    }  # fmt: skip
    if preview is not None:
        main |= {
            254: (4, [1]), 256: (4, [preview.width]), 257: (4, [preview.height]), 258: (3, [8, 8, 8]), 259: (3, [7]),
            262: (3, [6]), 273: (4, [8 + len(sensor)]), 277: (3, [3]), 278: (4, [preview.height]),
            279: (4, [len(jpeg)]), 530: (3, [2, 2]),
        }  # fmt: skip
    main_at = 8 + len(body)
    return b"II*\0" + struct.pack("<I", main_at) + body + _directory(main, main_at)


def _mosaic(pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    light = ((pixels / 255.0) ** 2.2 * (_WHITE - _BLACK) + _BLACK).astype("<u2")
    sensor = light[..., 1].copy()
    sensor[0::2, 0::2], sensor[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    return sensor


def _directory(tags: dict[int, tuple[int, Any]], at: int) -> bytes:
    """A directory of a TIFF at this place: tag -> type, and bytes or numbers."""
    beyond, entries, values_behind = at + 2 + 12 * len(tags) + 4, b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{_CODES[kind]}", *values)
        count = len(values) // 2 if kind in (5, 10) else len(values)
        if len(packed) > 4:
            where, values_behind = beyond + len(values_behind), values_behind + packed + bytes(len(packed) % 2)
            packed = struct.pack("<I", where)
        entries += struct.pack("<HHI", tag, kind, count) + packed.ljust(4, b"\0")
    return struct.pack("<H", len(tags)) + entries + bytes(4) + values_behind
