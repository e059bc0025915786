"""The files of photos as they are sent: whole or in part, shown only where a browser shows them safely."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mmsearch.media.filesystem import open_regular, opened_status
from mmsearch.media.remote_path import file_name
from mmsearch.server.errors import Refused
from mmsearch.server.options import ServerOptions
from mmsearch.server.photo_json import version_of
from mmsearch.types import Photo

BLOCK = 2**18  # bytes that are sent at a time
# What browsers show as a picture and as nothing else.
_SHOWN = {
    "jpeg": "image/jpeg",
    "mpo": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
}
# And as a film, or as sound.  They play a QuickTime file that holds what they can decode, but not under its own name.
_PLAYED = {
    "mp4": "video/mp4",
    "mov": "video/mp4",
    "3gp": "video/3gpp",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "ogv": "video/ogg",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "mka": "audio/x-matroska",
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def is_fresh(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client has what this ETag names."""
    known = [one.strip().removeprefix("W/") for one in headers.get("if-none-match", "").split(",")]
    return etag in known or known == ["*"]


def check_place(photo: Photo, options: ServerOptions) -> None:
    """Raises Refused where the file says where it was taken, and places are hidden."""
    if not options.show_places and photo.exif.latitude is not None:
        text = "places of photos are hidden here, and this file says where it was taken"
        raise Refused(403, "places-hidden", text, id=photo.id)


def open_photo(photo: Photo) -> BinaryIO:
    """The file of a photo.  Raises Refused where it is gone or cannot be read."""
    try:
        return open_regular(photo.path)
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
        text = "the file is gone" if gone else f"the file cannot be read: {error.strerror or error}"
        raise Refused(404 if gone else 409, "file-gone" if gone else "file-unreadable", text, id=photo.id) from error


def response(photo: Photo, headers: Mapping[str, str]) -> Response:
    """The file, or the part of it that is asked for.  Raises Refused where it is gone, or has no such part."""
    kind = _SHOWN.get(photo.format) or _PLAYED.get(photo.format)
    media = "media-src 'self'; " if photo.format in _PLAYED else ""  # a browser shows a film in a page of its own
    etag = f'"{version_of(photo)}"'
    told = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": f"default-src 'none'; {media}sandbox",
        "Content-Disposition": _disposition(file_name(photo.path), "inline" if kind else "attachment"),
    }
    if is_fresh(headers, etag):
        return Response(status_code=304, headers=told)
    file = open_photo(photo)
    try:
        size, _ = opened_status(file)
        wanted = headers.get("range") if headers.get("if-range", etag) == etag else None
        first, last, status = 0, size - 1, 200
        part = None if wanted is None else _part(wanted, size)
        if part is not None:
            first, last, status = *part, 206
            told["Content-Range"] = f"bytes {first}-{last}/{size}"
        file.seek(first)
    except BaseException:
        file.close()
        raise
    told["Content-Length"] = str(last - first + 1)
    return OpenFileResponse(file, last - first + 1, status, told, kind or "application/octet-stream")


class OpenFileResponse(StreamingResponse):
    """The next ``count`` bytes of ``file``, which is closed when it ends, also where whoever asked has gone away."""

    def __init__(self, file: BinaryIO, count: int, status: int, headers: Mapping[str, str], kind: str) -> None:
        super().__init__(_blocks(file, count), status, headers, kind)
        self.file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As any response; a generator that was not begun closes nothing."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.file.close()


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """The first and last byte; None where the whole file is sent.  Raises Refused where there are no such bytes."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or not (match[1] or match[2]):
        return None  # several parts, or none that makes sense: RFC 9110 lets a server send all
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if match[1] and match[2] and int(match[2]) < int(match[1]):
        return None
    if first > last:
        text = f"the file has {size:,} bytes"
        raise Refused(416, "no-such-part", text, {"Content-Range": f"bytes */{size}"}, size=size)
    return first, last


def _blocks(file: BinaryIO, count: int) -> Iterator[bytes]:
    while count > 0:
        block = file.read(min(BLOCK, count))
        if not block:
            return
        count -= len(block)
        yield block


def _disposition(name: str, kind: str) -> str:
    """The header with a file's name: nothing of it gets out of its quotes."""
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(os.fsencode(name))}"
