"""Whether all works on a machine: searching, writing, how fast pictures are decoded and encoded."""

from __future__ import annotations

import io
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmsearch.encoders.protocol import Encoder

PIXELS = (3000, 4000)  # of a sample picture: height and width of a camera's 12 megapixels
SECONDS = 1.0  # that each measurement takes at least, once it is warm
BATCH = 8


@dataclass(frozen=True)
class Finding:
    """Something that was looked at, and what came of it."""

    name: str  # such as "GPU"; several may have one
    said: str
    state: Literal["ok", "advice", "broken"]
    advice: str = ""  # what would help
    values: dict[str, Any] = field(default_factory=dict)  # for programs


@dataclass(frozen=True)
class Speed:
    """Pictures a second, one after the other."""

    decoded: float  # by one thread, from a JPEG of 12 megapixels to what the encoder takes
    encoded: float  # with region tokens where the encoder gives them


def search_problem() -> str | None:
    """Why FAISS finds nothing here, tried by a tiny search; None where it does."""
    try:
        import faiss

        index = faiss.IndexFlatIP(16)
        rows = np.eye(16, dtype=np.float32)
        index.add(rows)
        found = index.search(rows, 1)[1].ravel().tolist()
    except (ImportError, AttributeError) as error:  # the latter of a folder that has lost its files
        return str(error)
    return None if found == list(range(16)) else "a search in 16 vectors gives wrong neighbours"


def speed(encoder: Encoder) -> Speed:
    """How fast sample pictures are decoded and encoded here; takes some seconds."""
    from mmsearch.media.decode import decode

    content, preprocess = sample(), encoder.card.preprocess
    pixels = decode(io.BytesIO(content), "sample.jpg", preprocess).pixels
    batch = np.stack([pixels] * BATCH)  # (n, size, size, 3) uint8
    encoder.encode_pictures(batch)  # the first run makes room
    decoded = encoded = 0
    begun = now = time.perf_counter()
    while now - begun < SECONDS:
        decode(io.BytesIO(content), "sample.jpg", preprocess)
        decoded, now = decoded + 1, time.perf_counter()
    decoding, begun = now - begun, time.perf_counter()
    now = begun
    while now - begun < SECONDS:
        encoder.encode_pictures(batch)
        encoded, now = encoded + BATCH, time.perf_counter()
    return Speed(decoded / decoding, encoded / (now - begun))


def sample() -> bytes:
    """A JPEG as cameras write them: smooth colours, edges and noise, always the same."""
    from PIL import Image

    height, width = PIXELS
    random = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    smooth = np.stack([x / width, y / height, 0.5 + 0.5 * np.sin(x / 90) * np.cos(y / 70)], axis=-1)
    noisy = 255 * smooth + random.normal(0, 6, (height, width, 1)).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written into a folder, or into the nearest one above it that there is; None where it can."""
    place = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".mmsearch-") as file:
            file.write(b"0")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{place}: {error.strerror or error}"
    return None
