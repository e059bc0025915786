"""Small pictures that are made once and kept in files, by the content of the photo that they show.

A cache: whoever deletes its folder, or a part of it, loses nothing but time.  It is for one library, and safe to use
from several threads and processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mmsearch.errors import ArgumentError, ImageError
from mmsearch.media.filesystem import read_regular
from mmsearch.media.part_picture import Place
from mmsearch.media.remote_path import is_remote
from mmsearch.media.thumbnails import GONE, thumbnail
from mmsearch.types import SIDES, Photo

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

QUALITY = 80  # of WebP
EFFORT = 2  # of WebP, 0 to 6: 4, the usual one, takes twice the time for 3 % fewer bytes
DIGEST = 16  # bytes
MOST_BYTES = 8 * 2**20  # of one thumbnail: far more than any of 1280 pixels takes
FRESH = 3600.0  # seconds between two notes that a thumbnail was used: which are old is told by the hour
EMPTIED_TO = 0.9  # share of the limit that is left when the oldest are thrown away
SHARD = re.compile(r"[0-9a-f]{2}")  # a folder in that of the cache
_NAME = re.compile(r"[0-9a-f]{32}-(?:160|320|640|1280)\.thumb")  # no suffix of pictures: a walk passes them over


@dataclass(frozen=True)
class Thumbnail:
    """A small upright picture without metadata."""

    content: bytes  # of a WebP file
    etag: str  # changes with the content: its BLAKE2b, 32 hexadecimal digits
    rough: bool = False  # drawn from region tokens, because the file is away: no picture of it, and never kept


class Shared(Protocol):
    """Where the machines that show a library keep thumbnails together.  It never raises."""

    def get(self, name: str) -> bytes | None:
        """What was kept by this name; None where nothing was, or cannot be had now."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Keep it by this name, if that can be done."""
        ...


class _Kept(NamedTuple):
    used: float  # seconds since 1970
    size: int
    path: str


class ThumbnailCache:
    """Thumbnails in a folder of their own, two levels deep; it is made when the first one is kept.

    A file is the digest of a WebP and the WebP, so one that was damaged or cut off is noticed and made again.  Where
    the folder cannot be written, or is a link, thumbnails are made each time.
    """

    def __init__(self, folder: Path, limit: int, max_megapixels: float = 200.0, shared: Shared | None = None) -> None:
        """Up to ``limit`` bytes are kept, those that were used last; larger photos than the other limit are refused.

        What is not in the folder is looked for in ``shared``, and what is made is kept there too.
        """
        self._folder, self._limit, self._max_megapixels, self._shared = folder, limit, max_megapixels, shared
        self._lock = threading.Lock()
        self._bytes: int | None = None  # of all files, once they were counted

    def get(self, photo: Photo, content_hash: bytes | None, side: int, place: Place | None = None) -> Thumbnail:
        """The thumbnail of a photo whose content had this hash (16 bytes) when it was indexed; of one ``place`` in it.

        Of a file that has changed since then it is of what is there now, and is not served any more when that changes;
        of one that is gone the one that was kept.  Raises ArgumentError for a side that is none of ``SIDES``,
        ImageError where there is no picture.
        """
        if side not in SIDES:
            raise ArgumentError("side", repr(side), f"one of {', '.join(map(str, SIDES))}")
        key = _key(photo, content_hash, place)
        file = self._folder / key[:2] / f"{key}-{side}.thumb"
        found = self._read(file)
        if found is None and self._shared is not None:
            found = _sound(self._shared.get(file.name) or b"")
            if found is not None:
                self._keep(file, found)
        if found is None:
            found = _made(photo, side, self._max_megapixels, place)
            if _key(photo, content_hash, place) == key:  # else the file was written to meanwhile
                self._keep(file, found)
                if self._shared is not None:
                    self._shared.put(file.name, bytes.fromhex(found.etag) + found.content)
        return found

    def _read(self, file: Path) -> Thumbnail | None:
        """What was kept; None where there is nothing, or nothing sound."""
        if self._linked():
            return None
        try:
            kept = read_regular(file, MOST_BYTES)
            used = file.stat().st_mtime
        except OSError:
            return None
        found = _sound(kept)
        if found is not None and not 0 <= time.time() - used < FRESH:
            with contextlib.suppress(OSError):  # a library that may only be read
                os.utime(file)
        return found

    def _keep(self, file: Path, made: Thumbnail) -> None:
        """Write it, complete or not at all, and throw the oldest away where there are too many."""
        size = DIGEST + len(made.content)
        if size > self._limit or self._linked():
            return
        draft = file.with_name(f".{os.urandom(6).hex()}.partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.parent.is_symlink():
                return
            try:
                draft.write_bytes(bytes.fromhex(made.etag) + made.content)
                before = file.lstat().st_size if file.exists() else 0
                draft.replace(file)  # not fsynced: what a power cut leaves is noticed by its digest
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            log.debug("a thumbnail was not kept: %s", error)
            return
        with self._lock:
            if self._bytes is None:
                self._bytes = sum(kept.size for kept in self._kept())
            else:
                self._bytes += size - before
            if self._bytes > self._limit:
                self._bytes = self._emptied()

    def _emptied(self) -> int:
        """Throw away those that were not used for longest; the bytes that are left."""
        kept = sorted(self._kept())
        left = sum(one.size for one in kept)
        for one in kept:
            if left <= EMPTIED_TO * self._limit:
                break
            with contextlib.suppress(OSError):
                os.unlink(one.path)
                left -= one.size
        return left

    def _kept(self) -> Iterator[_Kept]:
        """All files of ours, in folders that are no links; drafts of a process that died, too, after an hour."""
        for shard in _entries(self._folder):
            if not SHARD.fullmatch(shard.name) or not shard.is_dir(follow_symlinks=False):
                continue
            for entry in _entries(shard.path):
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    draft = entry.name.endswith(".partial") and time.time() - status.st_mtime > FRESH
                    if entry.is_file(follow_symlinks=False) and (draft or _NAME.fullmatch(entry.name)):
                        yield _Kept(0.0 if draft else status.st_mtime, status.st_size, entry.path)

    def _linked(self) -> bool:
        return self._folder.is_symlink()


def _key(photo: Photo, content_hash: bytes | None, place: Place | None = None) -> str:
    """32 hexadecimal digits: the hash of the content, or of where and when the file was written since; and of where."""
    which = b"" if place is None else b" %d %d" % (place.part, -1 if place.at_ms is None else place.at_ms)
    try:
        status = os.stat(photo.path)
    except OSError:  # what was there is shown, if it was kept
        status = None
    known = status is None or (status.st_size, status.st_mtime_ns) == (photo.size, photo.mtime_ns)
    if content_hash is not None and known:
        return _digest(b"content " + content_hash + which).hex()
    when = (photo.size, photo.mtime_ns) if status is None else (status.st_size, status.st_mtime_ns)
    return _digest(b"file %s %d %d" % (os.fsencode(photo.path), *when) + which).hex()


def _sound(kept: bytes) -> Thumbnail | None:
    """What was kept: a digest and a WebP; None where they do not belong together."""
    digest, content = kept[:DIGEST], kept[DIGEST:]
    return Thumbnail(content, digest.hex()) if content and _digest(content) == digest else None


def _made(photo: Photo, side: int, max_megapixels: float, place: Place | None) -> Thumbnail:
    picture = thumbnail(photo, side, max_megapixels, place)
    if isinstance(picture, str):
        gone = picture == GONE if is_remote(photo.path) else not os.path.lexists(photo.path)
        raise ImageError(photo.path, picture, retry=gone, code="file-gone" if gone else None)
    return encoded(picture)


def encoded(picture: Image, rough: bool = False) -> Thumbnail:
    """A picture as a thumbnail: of these pixels alone, without EXIF and profile."""
    written = io.BytesIO()
    picture.save(written, "WEBP", quality=QUALITY, method=EFFORT)
    content = written.getvalue()
    return Thumbnail(content, _digest(content).hex(), rough)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
