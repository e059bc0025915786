"""What files beside a photo say of it: ``photo.txt``, ``photo.xmp``, and the JSON files of Google Takeout.

Every run looks at them, one listing a folder, and reads those that have changed.  Of a photo whose folder cannot be
listed, or that is not there, nothing is changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.options import IngestContext
from mmsearch.media.embedded_text import LONGEST, joined
from mmsearch.media.filesystem import open_regular
from mmsearch.media.xmp import LONGEST_XMP, read_xmp
from mmsearch.store.types import SidecarState
from mmsearch.store.writing import StoreWriter

log = logging.getLogger(__name__)

_VERSION = b"2"  # of the reading: files are read again by a version with another
_BATCH = 500  # photos a transaction
_LONGEST_JSON = 2**20  # bytes
_TAKEOUT = re.compile(r"(?P<photo>.+?)(?:\.(?:s(?:u[a-z]*(?:-[a-z]*)?)?)?)?(?P<number>\(\d+\))?")
_EDITED = re.compile(r"-edited(?=\(\d+\)$|$)")  # has no JSON file of its own
_TAKEOUT_LENGTH = 46  # characters of a name that Takeout keeps, without ".json"


@dataclass(frozen=True)
class _File:
    """A file beside a photo."""

    path: str
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True)
class _Changed:
    """A photo whose files are others than before."""

    photo: SidecarState
    stamp: str | None  # of the files; None where there are none any more
    files: list[_File]


class Sidecars(Enrichment[_Changed, _Changed, list[str | None]]):
    """What is new or changed beside photos.

    What is gone is forgotten, except where the folder is gone too.
    """

    name = "sidecars"
    batch = _BATCH

    def __init__(self, context: IngestContext) -> None:
        self._context = context

    @classmethod
    def of(cls, context: IngestContext) -> Sidecars:
        return cls(context)

    def pending(self) -> Iterator[_Changed]:
        """One after the other, a listing a folder: nobody knows how many there will be."""
        trees = tuple({os.path.realpath(root) + os.sep for root in self._context.store.roots()})
        for photo, files in _with_files(self._context.store.sidecar_states(self._context.roots), trees):
            now = stamp(files) if files else None
            if now != photo.stamp:
                yield _Changed(photo, now, files)

    def compute(self, batch: Sequence[_Changed]) -> list[str | None]:
        return [_text_or_warning(changed.files) for changed in batch]

    def save(self, writer: StoreWriter, batch: Sequence[_Changed], result: list[str | None]) -> int:
        saved = 0
        for changed, text in zip(batch, result, strict=True):
            if changed.stamp is None:
                writer.drop_sidecar(changed.photo.id)
            elif text is not None:
                writer.put_sidecar(changed.photo.id, changed.stamp, text)
                saved += 1
        return saved

    def path(self, job: _Changed) -> str:
        return job.photo.path


def stamp(files: Sequence[_File]) -> str:
    """Another string when a file beside a photo is another, or has another size or time."""
    digest = hashlib.blake2b(_VERSION, digest_size=16)
    for file in files:
        digest.update(b"%s\0%d\0%d\0" % (os.fsencode(os.path.basename(file.path)), file.size, file.mtime_ns))
    return digest.hexdigest()


def text_of(files: Sequence[_File]) -> str:
    """What the files say together, at most 2,000 characters: texts first, keywords and people last.

    Raises OSError where one cannot be read.
    """
    texts: list[str] = []
    keywords: list[str] = []
    for file in files:
        suffix = os.path.splitext(file.path)[1].lower()
        if suffix == ".xmp":
            words = read_xmp(_content(file, LONGEST_XMP + 1))
            texts += words.texts
            keywords += words.keywords
        elif suffix == ".json":
            said, people = _takeout(_content(file, _LONGEST_JSON))
            texts += said
            keywords += people
        else:
            texts += _plain(_content(file, 4 * LONGEST)).splitlines()
    return joined(texts, keywords) or ""


def _text_or_warning(files: Sequence[_File]) -> str | None:
    """``text_of``; None and a warning where one cannot be read: what is stored stays, and the next run tries again."""
    try:
        return text_of(files)
    except OSError as error:
        where = os.fsencode(error.filename or files[0].path).decode("utf-8", "replace")
        log.warning("%s cannot be read: %s", where, error.strerror or error)
        return None


def _with_files(photos: Iterator[SidecarState], trees: tuple[str, ...]) -> Iterator[tuple[SidecarState, list[_File]]]:
    """Each photo that is there, with the files beside it, by name; ``trees`` are the real folders that are indexed."""
    folder, names, candidates = None, set[str](), dict[str, list[str]]()
    for photo in photos:
        place, name = os.path.split(photo.path)
        if place != folder:
            folder = place
            names, candidates = _listing(place)
        if name not in names:
            continue
        own = {found for key in _keys(name) for found in candidates.get(key, ())}
        yield photo, [file for found in sorted(own) if (file := _file(os.path.join(place, found), trees)) is not None]


def _listing(folder: str) -> tuple[set[str], dict[str, list[str]]]:
    """All names in a folder, and those of files that may say something, by what a photo must be called for that."""
    try:
        names = set(os.listdir(folder))
    except OSError:
        return set(), {}
    candidates: dict[str, list[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in (".txt", ".xmp"):
            candidates.setdefault(_same(stem), []).append(name)
        elif suffix.lower() == ".json":
            candidates.setdefault(_takeout_key(stem), []).append(name)
    return names, candidates


def _keys(photo: str) -> list[str]:
    """What the files beside a photo are listed under."""
    name = _same(photo)
    stem, suffix = os.path.splitext(name)
    original = _EDITED.sub("", stem) + suffix
    return [name, stem, *("json:" + one[:_TAKEOUT_LENGTH] for one in (name, original))]


def _same(name: str) -> str:
    """Names that look the same are the same here: "Käse" in one letter or two for ä, and in small letters or large."""
    return unicodedata.normalize("NFC", name).lower()


def _takeout_key(stem: str) -> str:
    """The photo that a JSON file is about: ``a.jpg``, ``a.jpg.supplemental-metadata`` cut anywhere, ``a.jpg(1)``."""
    match = _TAKEOUT.fullmatch(_same(stem))
    if match is None:
        return "json:" + _same(stem)
    photo, number = match["photo"], match["number"] or ""
    name, suffix = os.path.splitext(photo)
    return "json:" + f"{name}{number}{suffix}"[:_TAKEOUT_LENGTH]


def _file(path: str, trees: tuple[str, ...]) -> _File | None:
    """None for what is no plain file, or a link out of all ``trees`` and its own folder: what it leads to is no word
    of a photo's, and may be a secret.
    """
    if os.path.islink(path):
        own = os.path.realpath(os.path.dirname(path)) + os.sep
        if not os.path.realpath(path).startswith((own, *trees)):
            return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _File(path, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _content(file: _File, most: int) -> bytes:
    with open_regular(file.path) as opened:
        return opened.read(most)


def _plain(content: bytes) -> str:
    """The text of a file that may be cut within a letter: UTF-8, UTF-16 with its mark, else Latin-1."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "ignore")
    if b"\0" in content:
        return ""  # no text
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= len(content) - 3 and len(content) == 4 * LONGEST:
            return content[: error.start].decode("utf-8-sig")
        return content.decode("latin-1")


def _takeout(content: bytes) -> tuple[list[str], list[str]]:
    """Description and names of people."""
    try:
        said: Any = json.loads(content)
    except (ValueError, RecursionError):
        return [], []
    if not isinstance(said, dict):
        return [], []
    people = said.get("people")
    names = [one.get("name") for one in people if isinstance(one, dict)] if isinstance(people, list) else []
    return [text for text in [said.get("description")] if isinstance(text, str)], [
        n for n in names if isinstance(n, str)
    ]
