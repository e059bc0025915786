"""The pictures of a film or a document, of which a few are in memory and the others in a temporary file.

A film has up to 480 frames that are looked at, and each takes 200 kB at 260 pixels a side.  They are made, sent,
encoded and folded one after the other, so no step needs them all at once.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO, overload

import numpy as np

from mmsearch.types import Part, Pixels

log = logging.getLogger(__name__)

HELD = 16  # pictures that are in memory before they are written
NOTHING: Pixels = np.zeros((1, 1, 3), np.uint8)


class FrameFile:
    """Pictures of one size by number, of which at most ``HELD`` are in memory.

    The others lie in a temporary file that has no name, and is gone with this object.  Where it cannot be written, as
    on a disk that is full, all stay in memory.  Safe to use from several threads.
    """

    def __init__(self, folder: str | None = None) -> None:
        """``folder`` is where the temporary file lies; None is where the system keeps such files."""
        self._folder = folder
        self._held: dict[int, Pixels] = {}
        self._free: list[int] = []  # numbers whose pictures were dropped
        self._count = 0
        self._file: IO[bytes] | None = None
        self._writable = True
        self._shape: tuple[int, ...] = ()
        self._lock = threading.Lock()

    def put(self, pixels: Pixels) -> int:
        """Keep a picture, as large as all others, (height, width, 3) uint8; returns its number."""
        with self._lock:
            if self._free:
                number = self._free.pop()
            else:
                number, self._count = self._count, self._count + 1
            self._shape = pixels.shape
            self._held[number] = pixels
            if len(self._held) >= HELD and self._writable:
                self._write()
            return number

    def get(self, number: int) -> Pixels:
        """The picture of this number.  Raises OSError where the temporary file cannot be read."""
        with self._lock:
            if number in self._held:
                return self._held[number]
            assert self._file is not None
            size = int(np.prod(self._shape))
            self._file.seek(number * size)
            content = self._file.read(size)
        if len(content) != size:
            raise OSError("a temporary file was cut off")
        return np.frombuffer(bytearray(content), np.uint8).reshape(self._shape)  # one that may be written to

    def drop(self, number: int) -> None:
        """Forget a picture."""
        with self._lock:
            self._held.pop(number, None)
            self._free.append(number)

    def _write(self) -> None:
        size = int(np.prod(self._shape))
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="mmsearch-", dir=self._folder)  # noqa: SIM115 (it lives as long as this object)
                weakref.finalize(self, self._file.close)
            for number, pixels in self._held.items():
                self._file.seek(number * size)
                self._file.write(pixels.tobytes())
            self._file.flush()
        except OSError as error:
            self._writable = False
            log.warning(
                "frames stay in memory, because a temporary file cannot be written: %s", error.strerror or error
            )
            return
        self._held.clear()


class KeptParts(Sequence[Part]):
    """Parts whose pixels are in a ``FrameFile``: each is read when it is asked for."""

    def __init__(
        self, frames: FrameFile | None = None, about: Iterable[Part] = (), numbers: Iterable[int] = ()
    ) -> None:
        """``about`` are the parts without their pixels, ``numbers`` those of their pixels in ``frames``."""
        self._frames = frames or FrameFile()
        self._about, self._numbers = list(about), list(numbers)

    def append(self, part: Part) -> None:
        self._numbers.append(self._frames.put(part.pixels))
        self._about.append(without_pixels(part))

    def __len__(self) -> int:
        return len(self._about)

    @overload
    def __getitem__(self, place: int) -> Part: ...

    @overload
    def __getitem__(self, place: slice) -> KeptParts: ...

    def __getitem__(self, place: int | slice) -> Part | KeptParts:
        if isinstance(place, slice):
            return KeptParts(self._frames, self._about[place], self._numbers[place])
        return replace(self._about[place], pixels=self._frames.get(self._numbers[place]))

    def __iter__(self) -> Iterator[Part]:
        return (self[place] for place in range(len(self)))

    def chosen(self, places: Sequence[int], about: Sequence[Part]) -> KeptParts:
        """Those at ``places``, with other times and words."""
        return KeptParts(self._frames, map(without_pixels, about), (self._numbers[place] for place in places))

    @property
    def about(self) -> Sequence[Part]:
        """The parts without their pixels, which nothing is read for."""
        return self._about


def without_pixels(part: Part) -> Part:
    """All of a part but its pixels."""
    return replace(part, pixels=NOTHING)


def about_of(parts: Sequence[Part]) -> Sequence[Part]:
    """The parts of a file, whose pixels are not to be looked at."""
    return parts.about if isinstance(parts, KeptParts) else parts


def as_kept(parts: Sequence[Part]) -> KeptParts:
    """The same parts, kept in this way."""
    if isinstance(parts, KeptParts):
        return parts
    kept = KeptParts()
    for part in parts:
        kept.append(part)
    return kept
