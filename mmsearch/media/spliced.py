"""A file that is made of parts of another one: pictures without what damages them, read by decoders as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, BinaryIO, cast

Part = bytes | tuple[int, int]  # bytes, or the start and end of what is taken of the other file


class _Spliced(io.RawIOBase):
    """See ``spliced``."""

    def __init__(self, file: BinaryIO, parts: Sequence[Part]) -> None:
        self._file, self._parts, self._at = file, parts, 0
        self._size = sum(map(_length, parts))

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

    def readinto(self, buffer: Any) -> int:
        view, filled, start = memoryview(buffer).cast("B"), 0, 0
        for part in self._parts:
            inside, end = self._at - start, start + _length(part)
            if self._at < end and filled < len(view):
                wanted = min(end - self._at, len(view) - filled)
                if isinstance(part, bytes):
                    piece = part[inside : inside + wanted]
                else:
                    self._file.seek(part[0] + inside)
                    piece = self._file.read(wanted)
                view[filled : filled + len(piece)] = piece
                filled, self._at = filled + len(piece), self._at + len(piece)
                if len(piece) < wanted:  # the other file became shorter
                    break
            start = end
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
