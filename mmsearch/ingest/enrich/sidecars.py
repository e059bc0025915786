"""What files beside a photo say of it: ``photo.txt``, ``photo.xmp``, the JSON files of Google Takeout, and subtitles.

XMP is what a person's programs wrote last: it goes before what the picture's file says.  Takeout knows the time in UTC
only, and where it knows nothing better that of the upload: it counts where nobody else says anything.  What subtitles
say belongs to the moments of a film.

Every run looks at them, one listing a folder, and reads those that have changed.  Of a photo whose folder cannot be
listed, or that is not there, nothing is changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmsearch.ingest.enrich.base import Enrichment
from mmsearch.ingest.enrich.takeout import LONGEST_JSON, comparable, keys_of_json, keys_of_photo, takeout_said
from mmsearch.ingest.options import IngestContext
from mmsearch.ingest.sounds import is_sound
from mmsearch.media.embedded_text import LONGEST, joined
from mmsearch.media.filesystem import open_regular
from mmsearch.media.formats import VIDEO_SUFFIXES
from mmsearch.media.said import Said, annotated, believed
from mmsearch.media.subtitles import LARGEST, SUBTITLE_SUFFIXES, Cue, cues_in_parts, read_subtitles, subtitles_of
from mmsearch.media.xmp import LONGEST_XMP, read_xmp
from mmsearch.store.types import SidecarState
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Part, Sidecar

log = logging.getLogger(__name__)

_VERSION = b"4"  # of the reading: files are read again by a version with another
_BATCH = 500  # photos a transaction
_NOTHING = np.zeros((1, 1, 3), np.uint8)
BESIDE = "beside"  # where words of a part stand that are in subtitles


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


@dataclass(frozen=True)
class _Said:
    """What the files beside a photo say."""

    sidecar: Sidecar
    cues: tuple[Cue, ...] = ()  # of subtitles


class Sidecars(Enrichment[_Changed, _Changed, list[_Said | None]]):
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
        for photo, files in _with_files(self._context.store.sidecar_states(self._context.roots), self._trees()):
            now = stamp(files, photo.hash) if files else None
            if now != photo.stamp:
                yield _Changed(photo, now, files)

    def compute(self, batch: Sequence[_Changed]) -> list[_Said | None]:
        return [_said_or_warning(changed.files) for changed in batch]

    def save(self, writer: StoreWriter, batch: Sequence[_Changed], result: list[_Said | None]) -> int:
        saved = 0
        for changed, said in zip(batch, result, strict=True):
            if said is None:
                continue
            if changed.stamp is None:
                writer.drop_sidecar(changed.photo.id)
            else:
                writer.put_sidecar(changed.photo.id, changed.stamp, said.sidecar)
                saved += 1
            if is_sound(changed.photo.path):
                cues = said.cues or self._cues_of_copies(changed.photo)
                writer.put_sound_words(changed.photo.hash, BESIDE, cues)
            elif _is_film(changed.photo.path):
                self._put_cues(writer, changed.photo, said.cues or self._cues_of_copies(changed.photo))
        return saved

    def _put_cues(self, writer: StoreWriter, film: SidecarState, cues: Sequence[Cue]) -> None:
        """What is said in each moment; what was said before in others is forgotten."""
        stored = self._context.store.parts_of(film.hash, self._context.model)
        parts = [Part(_NOTHING, one.start_ms, one.end_ms) for one in stored]
        for item, part in zip(stored, cues_in_parts(parts, cues), strict=True):
            writer.put_part_text(item.item, BESIDE, part.text)

    def _cues_of_copies(self, film: SidecarState) -> tuple[Cue, ...]:
        """What stands beside another file of the same content: moments belong to all of them."""
        store = self._context.store
        vectors = [part.vector for part in store.parts_of(film.hash, self._context.model)[:1] if part.vector >= 0]
        for copy in (one for found in store.photos(vectors).values() for one in found if one.path != film.path):
            place, name = os.path.split(copy.path)
            names, _ = _listing(place)
            found = [_file(os.path.join(place, other), self._trees()) for other in subtitles_of(name, names)]
            said = _said_or_warning([one for one in found if one is not None])
            if said is not None and said.cues:
                return said.cues
        return ()

    def _trees(self) -> tuple[str, ...]:
        """The real folders that are indexed."""
        return tuple({os.path.realpath(root) + os.sep for root in self._context.store.roots()})

    def path(self, job: _Changed) -> str:
        return job.photo.path


def stamp(files: Sequence[_File], content: bytes = b"") -> str:
    """Another string when a file beside a photo is another, or has another size or time.

    With subtitles also when the film is another, by the hash of its ``content``: they belong to its moments.
    """
    digest = hashlib.blake2b(_VERSION, digest_size=16)
    if any(_suffix(file.path) in SUBTITLE_SUFFIXES for file in files):
        digest.update(content)
    for file in files:
        digest.update(b"%s\0%d\0%d\0" % (os.fsencode(os.path.basename(file.path)), file.size, file.mtime_ns))
    return digest.hexdigest()


def said_of(files: Sequence[_File]) -> Sidecar:
    """What the files say together; of their texts at most 2,000 characters, keywords and people last.

    Raises OSError where one cannot be read.
    """
    xmp: list[Said] = []
    takeout: list[Said] = []
    said: list[Said] = []
    for file in files:
        suffix = _suffix(file.path)
        if suffix in SUBTITLE_SUFFIXES:
            continue
        if suffix == ".xmp":
            xmp.append(read_xmp(_content(file, LONGEST_XMP + 1)))
            said.append(xmp[-1])
        elif suffix == ".json":
            takeout.append(takeout_said(_content(file, LONGEST_JSON)))
            said.append(takeout[-1])
        else:
            said.append(Said(texts=tuple(_plain(_content(file, 4 * LONGEST)).splitlines())))
    return Sidecar(
        text=joined((text for one in said for text in one.texts), (word for one in said for word in one.keywords))
        or "",
        exif=believed([replace(one, digitized=None) for one in xmp]),  # when a scan was made is no correction
        annotations=annotated([*xmp, *takeout]),
        fallback=believed([*(Said(digitized=one.digitized) for one in xmp), *takeout]),
    )


def cues_of(files: Sequence[_File]) -> tuple[Cue, ...]:
    """What subtitles say, in the order of their times.  Raises OSError where one cannot be read."""
    subtitles = [file for file in files if _suffix(file.path) in SUBTITLE_SUFFIXES]
    cues = [cue for file in subtitles for cue in read_subtitles(_content(file, LARGEST), _suffix(file.path))]
    return tuple(sorted(cues))


def _said_or_warning(files: Sequence[_File]) -> _Said | None:
    """What is said; None and a warning where a file cannot be read: what is stored stays, the next run tries again."""
    try:
        return _Said(said_of(files), cues_of(files))
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
        own = set(_belonging(name, candidates))
        if _is_film(name) or is_sound(name):
            own.update(subtitles_of(name, names))
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
            candidates.setdefault(comparable(stem), []).append(name)
        elif suffix.lower() == ".json":
            for key in keys_of_json(stem):
                candidates.setdefault(key, []).append(name)
    return names, candidates


def _belonging(photo: str, candidates: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The names of the files that say something of a photo."""
    name = comparable(photo)
    for key in (name, os.path.splitext(name)[0]):
        yield from candidates.get(key, ())
    yield from next((candidates[key] for key in keys_of_photo(photo) if key in candidates), ())


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _is_film(path: str) -> bool:
    return _suffix(path) in VIDEO_SUFFIXES


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
