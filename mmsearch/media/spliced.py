"""A file that is made of parts of another one: pictures without what damages them, read by decoders as they are."""

from __future__ import annotations

import bisect
import io
import itertools
from collections.abc import Sequence
from typing import Any, BinaryIO, cast

Part = bytes | tuple[int, int]  # bytes, or the start and end of what is taken of the other file


class _Spliced(io.RawIOBase):
    """See ``spliced``."""

    def __init__(self, file: BinaryIO, parts: Sequence[Part]) -> None:
        self._file, self._parts, self._at = file, [part for part in parts if _length(part)], 0
        self._starts = [0, *itertools.accumulate(map(_length, self._parts))]  # and the end, which is the last one
        self._size = self._starts.pop()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """As of any file; no more memory is taken than there is to read, whatever a damaged length asks for."""
        left = max(0, self._size - self._at)
        return super().read(left if size < 0 else min(size, left)) or b""

    def readinto(self, buffer: Any) -> int:
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view) and self._at < self._size:
            number = bisect.bisect_right(self._starts, self._at) - 1  # there may be very many
            part, inside = self._parts[number], self._at - self._starts[number]
            wanted = min(_length(part) - inside, len(view) - filled)
            if isinstance(part, bytes):
                piece = part[inside : inside + wanted]
            else:
                self._file.seek(part[0] + inside)
                piece = self._file.read(wanted)
            view[filled : filled + len(piece)] = piece
            filled, self._at = filled + len(piece), self._at + len(piece)
            if len(piece) < wanted:  # the other file became shorter
                break
        return filled


def _length(part: Part) -> int:
    return len(part) if isinstance(part, bytes) else part[1] - part[0]


def spliced(file: BinaryIO, *parts: Part) -> BinaryIO:
    """``parts`` one after the other as a file to read and seek in; nothing is copied.

    ``file`` stays open and is moved in; it must not be read meanwhile.
    """
    return cast(BinaryIO, _Spliced(file, parts))


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return file.seek(0, io.SEEK_END)
