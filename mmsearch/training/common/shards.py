"""Captioned photos in tar files, as open_clip and img2dataset have them: WebDataset shards.

A sample is the members of one name up to its first full stop: ``000123.jpg`` and ``000123.txt``, which is its caption,
or one a line; or ``000123.json`` with ``caption``.  Members are read where they lie in the file: nothing is written by
the names in it.
"""

from __future__ import annotations

import glob
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mmsearch.errors import SourceError
from mmsearch.media.filesystem import open_regular

PICTURES = ("jpg", "jpeg", "png", "webp")
MOST_TEXT = 2**20  # bytes of captions of a sample
MOST_PICTURE = 2**30  # bytes
# What tarfile raises for headers that nobody writes: sizes of no file, names longer than memory, headers in headers.
BROKEN = (ValueError, OverflowError, MemoryError, RecursionError)


@dataclass(frozen=True)
class Member:
    """Where a picture lies in a tar file."""

    file: Path
    offset: int  # bytes
    size: int


@dataclass(frozen=True)
class Sample:
    """A picture and its captions."""

    name: str  # of the shard, a slash, and of the sample
    picture: Member
    captions: tuple[str, ...]


def files_of(pattern: Path) -> list[Path]:
    """The shards that a path means: a tar file, those of a folder, or those of a pattern (``*``, ``{000..123}``).

    Raises SourceError where there is none.
    """
    text = os.path.expanduser(pattern)
    if os.path.isdir(text):
        found = sorted(Path(text).glob("*.tar"))
    else:
        found = sorted({Path(one) for spelled in _braces(text) for one in _matches(spelled)})
    if not found:
        raise SourceError(f"{pattern}: no tar file is there")
    return found


def _matches(spelled: str) -> list[str]:
    return [spelled] if os.path.exists(spelled) else glob.glob(spelled)


def _braces(text: str) -> Iterator[str]:
    """``a{00..02}.tar`` is three names, as in a shell."""
    before, opened, rest = text.partition("{")
    inner, closed, after = rest.partition("}")
    first, dots, last = inner.partition("..")
    if not (opened and closed and dots and first.isdecimal() and last.isdecimal()):
        yield text
        return
    for number in range(int(first), int(last) + 1):
        for end in _braces(after):
            yield f"{before}{number:0{len(first)}d}{end}"


def is_shards(path: Path) -> bool:
    """Whether a path of the user means shards and no folder of photos."""
    return path.suffix == ".tar" or (path.is_dir() and any(path.glob("*.tar")))


def read(files: Sequence[Path]) -> list[Sample]:
    """All samples that have a picture and a caption, in the order of the shards.

    Raises SourceError for a file that is no tar file, is compressed, damaged or cut off, for two pictures of one name,
    and for members that are too large.
    """
    samples = [sample for file in files for sample in _samples(file)]
    if not samples:
        raise SourceError(f"{files[0]}: no pairs; wanted members such as 0001.jpg and 0001.txt")
    return samples


def _samples(file: Path) -> Iterator[Sample]:
    pictures: dict[str, Member] = {}
    texts: dict[str, tuple[str, ...]] = {}
    try:
        with open_regular(file) as opened, tarfile.open(fileobj=opened, mode="r:") as archive:
            size = os.fstat(opened.fileno()).st_size
            for member in archive:
                where = f"{file}: {member.name!r}"
                if member.size < 0:  # else the next member would be this one again
                    raise SourceError(f"{where} has a size below 0; the tar file is damaged")
                if not member.isreg() or member.issparse():
                    continue  # links, devices and folders
                folder, name = os.path.split(member.name)
                stem, _, kind = name.partition(".")
                key, kind = os.path.join(folder, stem), kind.lower()
                if member.offset_data + member.size > size:
                    raise SourceError(f"{file} is cut off at {member.name!r}")
                if kind in PICTURES:
                    _check_size(member, MOST_PICTURE, where)
                    if key in pictures:
                        raise SourceError(f"{where} is the second picture of one name")
                    pictures[key] = Member(file, member.offset_data, member.size)
                elif kind in ("txt", "json"):
                    _check_size(member, MOST_TEXT, where)
                    content = archive.extractfile(member)
                    assert content is not None  # of a regular member there is one
                    said = _captions(content.read(), kind, where)
                    if said and (kind == "txt" or key not in texts):  # as open_clip: the text where there are both
                        texts[key] = said
    except tarfile.TarError as error:
        raise SourceError(f"{file} is no tar file that can be read, or is compressed: {error}") from error
    except BROKEN as error:
        raise SourceError(f"{file} is damaged: {error or type(error).__name__}") from error
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror or error}") from error
    for key, picture in pictures.items():
        if texts.get(key):
            yield Sample(f"{file.name}/{key}", picture, texts[key])


def _check_size(member: tarfile.TarInfo, most: int, where: str) -> None:
    if member.size > most:
        raise SourceError(f"{where} has {member.size:,} bytes; at most {most:,} are read; leave it out")


def _captions(content: bytes, kind: str, where: str) -> tuple[str, ...]:
    try:
        if kind == "txt":
            said: object = content.decode("utf-8-sig").splitlines()
        else:
            values = json.loads(content)
            said = values.get("caption") if isinstance(values, Mapping) else None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where} cannot be read: {error}") from error
    texts = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    return tuple(line for one in texts if isinstance(one, str) and (line := " ".join(one.split())))


def open_member(member: Member) -> BinaryIO:
    """The bytes of a picture in a tar file, to be read like a file.  Raises OSError."""
    with open_regular(member.file) as opened:
        opened.seek(member.offset)
        return io.BytesIO(opened.read(member.size))
