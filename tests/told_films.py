"""A reader of films that are told in a text file: what ingest makes of frames is tested without any codec.

``film`` or ``pages`` stands in the first line; each line after it is a frame or a page: the second at which it is
shown, a photo of ``SAMPLES``, by how many hundredths of its width it is moved, and words.  ``end`` ends a film.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from samples import SAMPLES

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode
from mmsearch.types import Decoded, Exif, Film, Part, Pixels, Preprocess


def told(path: Path, *lines: str, kind: str = "film") -> Path:
    """Write such a file; its suffix should be one of pictures."""
    path.write_text("\n".join((kind, *lines, "")))
    return path


@lru_cache
def photo(name: str, preprocess: Preprocess) -> Pixels:
    with (SAMPLES / name).open("rb") as file:
        return decode(file, name, preprocess).pixels


class Reader:
    """Reads films that are told, and other files as they are read else."""

    def __init__(self) -> None:
        self.read: list[str] = []  # paths of films, in the order in which they were read

    def __call__(self, file: BinaryIO, path: str, preprocess: Preprocess, max_megapixels: float = 200.0) -> Decoded:
        head = file.read(6)
        file.seek(0)
        if not head.startswith((b"film\n", b"pages\n")):
            return decode(file, path, preprocess, max_megapixels)
        self.read.append(path)
        kind, *lines = filter(None, file.read().decode().splitlines())
        parts, damage, end = self._parts(lines, preprocess, kind == "film")
        if not parts:
            raise ImageError(path, "no frame of it can be decoded")
        film = Film(end, 25.0, "h264", True) if kind == "film" else None
        return Decoded(parts[0].pixels, 640, 360, kind, Exif(), damage=damage, parts=tuple(parts), film=film)

    def _parts(self, lines: Sequence[str], preprocess: Preprocess, timed: bool) -> tuple[list[Part], str | None, int]:
        damage: str | None = None
        rows: list[tuple[int, Pixels, str]] = []
        end = 0
        for line in lines:
            at, name, moved, text = (*line.split(" ", 3), "", "", "")[:4]
            end = round(1000 * float(at))
            if name == "end":
                break
            if name == "damaged":
                damage = "the rest could not be read"
                break
            pixels = np.roll(photo(name, preprocess), round(preprocess.size * int(moved or 0) / 100), axis=1)
            rows.append((end, pixels, text))
        if not timed or not rows:
            return [Part(pixels, text=text) for _, pixels, text in rows], damage, 0
        ends = [*(start for start, *_ in rows[1:]), end]
        parts = [Part(pixels, at, to, at, text) for (at, pixels, text), to in zip(rows, ends, strict=True)]
        return parts, damage, end
