"""Photos as one zip, written while it is sent, or copied into a folder of this machine."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mmsearch.library.library import Library
from mmsearch.media.filesystem import opened_status
from mmsearch.media.remote_path import file_name
from mmsearch.server.errors import Refused
from mmsearch.server.files import BLOCK, check_place, open_photo
from mmsearch.server.options import ServerOptions
from mmsearch.types import Photo

LEFT_OUT = "left out.txt"  # in a zip: what is not in it, and why


def chosen(library: Library, ids: Sequence[int], options: ServerOptions) -> list[Photo]:
    """The photos with these ids, each once.  Raises Refused for one that is unknown, and for too many bytes."""
    wanted = list(dict.fromkeys(ids))
    model = library.store.model()
    found = {} if model is None else library.store.photos_by_id(wanted, model)
    missing = [photo_id for photo_id in wanted if photo_id not in found]
    if missing:
        text = f"no photo has the id {missing[0]} (any more), nor {len(missing) - 1} others of these"
        raise Refused(404, "unknown-photo", text if missing[1:] else text.partition(",")[0], ids=missing[:100])
    photos = [found[photo_id] for photo_id in wanted]
    for photo in photos:
        check_place(photo, options)
    size = sum(photo.size for photo in photos)
    if size > options.export_bytes:
        text = f"these photos have {size:,} bytes; at most {options.export_bytes:,} go at once"
        raise Refused(413, "too-large", text, most=options.export_bytes)
    return photos


class _Pipe(io.RawIOBase):
    """What a zip is written to; what has come so far is taken out again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        """All that was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zipped(photos: Sequence[Photo]) -> Iterator[bytes]:
    """A zip of the files as they are, piece by piece; what cannot be read is named in a text in it."""
    pipe, names, left_out = _Pipe(), set[str](), []
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for photo in photos:
            try:
                file = open_photo(photo)
            except Refused as error:
                left_out.append(f"{_printable(photo.path)}: {error.detail}")
                continue
            info = zipfile.ZipInfo(_free(_printable(file_name(photo.path)), names), _stamp(photo))
            with file, archive.open(info, "w", force_zip64=True) as entry:
                while block := file.read(BLOCK):
                    entry.write(block)
                    yield pipe.taken()
        if left_out:
            archive.writestr(_free(LEFT_OUT, names), "\n".join(left_out) + "\n")
    yield pipe.taken()


def copied(photos: Sequence[Photo], folder: Path) -> dict[str, Any]:
    """Copies of the files in a folder, which is made; a name that is taken gets a number.

    Raises Refused where nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"{_printable(str(folder))} cannot be made: {error.strerror or error}"
        raise Refused(409, "folder-unwritable", text) from error
    done, skipped = 0, []
    for photo in photos:
        try:
            with open_photo(photo) as source:
                _copy(source, folder, file_name(photo.path))
            done += 1
        except Refused as error:
            skipped.append({"id": photo.id, "path": photo.path, "reason": str(error.detail)})
        except OSError as error:
            skipped.append({"id": photo.id, "path": photo.path, "reason": error.strerror or str(error)})
    return {"folder": str(folder), "copied": done, "skipped": skipped}


def _copy(source: Any, folder: Path, name: str) -> None:
    """A new file with what a file holds, whole or not at all.  Raises OSError."""
    stem, suffix = os.path.splitext(name)
    number = 1
    while True:
        target = folder / (name if number == 1 else f"{stem} ({number}){suffix}")
        try:
            copy = target.open("xb")
            break
        except FileExistsError:
            number += 1
    try:
        with copy:
            shutil.copyfileobj(source, copy, BLOCK)
        _, written = opened_status(source)
        os.utime(target, ns=(written, written))
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink()
        raise


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken, whatever its capitals; taken from now on."""
    stem, suffix = os.path.splitext(name)
    number = 1
    while name.lower() in taken:
        number += 1
        name = f"{stem} ({number}){suffix}"
    taken.add(name.lower())
    return name


def _printable(text: str) -> str:
    """Without what is no character or moves the cursor."""
    return re.sub(r"[\x00-\x1f\x7f]", "_", os.fsencode(text).decode("utf-8", "replace"))


def _stamp(photo: Photo) -> tuple[int, int, int, int, int, int]:
    """Its time as a zip can hold it."""
    moment = datetime.fromtimestamp(photo.mtime_ns / 1e9)
    if not 1980 <= moment.year <= 2107:
        return (1980, 1, 1, 0, 0, 0)
    return (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
