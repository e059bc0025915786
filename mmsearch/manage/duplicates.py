"""Files that show the same picture: which belong together, and which of them to keep.

Three levels: ``exact`` has the same bytes; ``near`` is the same shot, scaled, compressed, cropped or edited; ``burst``
is another shot of the same scene, taken within seconds.  Vectors and hashes propose pairs, all there are, and the
pixels decide.  A group holds only what is like the file that it keeps, so small differences do not add up along a
chain.  Films are compared with films (``film_duplicates.py``), documents with documents (``document_duplicates.py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import ImageError, LibraryError
from mmsearch.manage.bursts import bursts, taken_at
from mmsearch.manage.document_duplicates import is_document, same_documents
from mmsearch.manage.film_duplicates import same_films
from mmsearch.manage.present_file import CHANGED, identity, trouble
from mmsearch.media.dhash import as_numbers
from mmsearch.media.filesystem import open_regular
from mmsearch.media.formats import RAW_SUFFIXES
from mmsearch.media.pixel_match import Sketch, alike, sketch
from mmsearch.search.diversity import BURST
from mmsearch.search.shots import CLIP_MS, same_identifier, within_seconds
from mmsearch.store.protocol import Store
from mmsearch.store.types import DuplicateCandidate, StoredModel
from mmsearch.types import Film, Found, Ids, Note, Photo, Progress, Skipped, Vectors

Level = Literal["exact", "near", "burst"]

# Pairs whose pixels are compared: (bits of the hashes that may differ, least cosine then).
PROPOSED = ((6, 0.3), (18, 0.75))
UNHASHED = 0.75  # least cosine where a hash is missing
BLOCK, COLUMNS = 512, 2**15  # pictures that are compared with others at a time, and with how many of these


@dataclass(frozen=True)
class Group:
    """Files that show the same picture."""

    keep: Photo  # with most pixels; of equals that of which most is known, then the largest, then the oldest
    others: tuple[Photo, ...]
    levels: tuple[Level, ...]  # of each of the others, compared with the one to keep

    @property
    def level(self) -> Level:
        """The loosest one."""
        return max(self.levels, key=("exact", "near", "burst").index)

    @property
    def bytes(self) -> int:
        """The space that the others take."""
        return sum(photo.size for photo in self.others)


@dataclass(frozen=True)
class _Content:
    """What one file holds, or several with the same bytes."""

    vector: int
    files: tuple[Found, ...]  # the one to keep first
    taken_at: datetime | None
    dhash: bytes | None
    pixels: int = 0
    document: bool = False
    film: Film | None = None

    @property
    def is_photo(self) -> bool:
        return self.film is None and not self.document


def find(
    store: Store,
    model: StoredModel,
    level: Level = "near",
    within: Sequence[str] = (),
    least: float | None = None,
    max_megapixels: float = 200.0,
    threads: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[list[Group], list[Skipped]]:
    """Groups up to a level, those that take most space first, and the files that were left alone.

    ``model`` is the library's.  ``within`` keeps the files in or below these paths.  ``least`` is the cosine that near
    pictures and bursts must have, in place of what was measured to serve.  ``threads`` read pictures, 0 is one a core;
    ``progress`` is called after each block of contents.

    Left alone is what is gone, has changed since it was indexed, or cannot be read.  Links to files are passed over,
    and so are further names of one file (hard links): they take no space.  Raises LibraryError.
    """
    contents = _by_quality(_without_seconds(store.duplicate_candidates(model, within)))
    files = _Files(contents)
    near = stands = np.arange(len(contents))  # for each content, the row of the one that stands for it
    if level != "exact":
        try:
            vectors = store.vectors(np.array([one.vector for one in contents], np.int64), model.dim)
        except KeyError as error:
            raise LibraryError("pictures were removed by another process in the meantime; try again") from error
        shots = sum(one.is_photo for one in contents)  # they come first
        near[:shots] = _near(contents[:shots], vectors[:shots], files, least, max_megapixels, threads, progress)
        films = [row for row, one in enumerate(contents) if one.film is not None and one.pixels]  # not sound
        near[films] = same_films(films, store, model, contents, files, max_megapixels)
        documents = [row for row, one in enumerate(contents) if one.document]
        near[documents] = same_documents(documents, store, model, contents, files, max_megapixels)
        stands = near
        if level == "burst":
            stands = bursts(contents[:shots], vectors[:shots], files, near[:shots], BURST if least is None else least)
            stands = np.concatenate([stands, near[shots:]])
    members: dict[int, list[int]] = {}
    for row, head in enumerate(stands.tolist()):
        members.setdefault(head, []).append(row)
    several = {
        head: rows for head, rows in members.items() if len(rows) > 1 or len(contents[rows[0]].files) > 1
    }  # the others are not even looked for on disk
    vectors_of = [contents[row].vector for rows in several.values() for row in rows]
    photos = {photo.path: photo for found in store.photos(vectors_of, within).values() for photo in found}
    groups = []
    for head, rows in several.items():
        there = [
            (row, photos[file.path])
            for row in sorted(rows, key=lambda row: (row != head, near[row] != head, row))
            for file in files.of(row)
            if file.path in photos
        ]
        if len(there) > 1:
            groups.append(_group(there, {row for row in rows if near[row] == head}, contents[head].is_photo))
    groups.sort(key=lambda group: (-group.bytes, group.keep.path))
    return groups, [Skipped(path, reason) for path, reason in sorted(files.left.items())]


def _group(members: Sequence[tuple[int, Photo]], near: set[int], photo: bool) -> Group:
    """A group of photos and the rows of their contents, the best one first.

    ``near`` are the rows that show the same as the first: kept is one of these, of ``photo`` one with as many pixels as
    that, else one with its content, for others may be shorter.
    """
    first, pixels = members[0][0], members[0][1].width * members[0][1].height
    best = near if photo else {first}
    equals = [one for one in members if one[0] in best and one[1].width * one[1].height == pixels]
    row, keep = max(equals, key=lambda one: _known(one[1]))  # of equals the first
    others = sorted((one for one in members if one[1] is not keep), key=lambda one: (one[0] != row, one[0] not in near))
    levels: list[Level] = ["exact" if own == row else "near" if own in near else "burst" for own, _ in others]
    return Group(keep, tuple(photo for _, photo in others), tuple(levels))


def _without_seconds(candidates: Sequence[DuplicateCandidate]) -> list[DuplicateCandidate]:
    """All but raw files and clips beside a picture of their shot: they are its own and go where it goes."""
    photos = [one for one in candidates if not _is_raw(one) and one.film is None]
    pictures = {_shot(one) for one in photos}
    by_name = {_shot(one)[0]: one for one in photos}
    identified = {_identified(one) for one in photos if one.content_identifier is not None}
    return [
        one
        for one in candidates
        if not (_is_raw(one) and _shot(one) in pictures)
        and not (_is_short(one) and _identified(one) in identified)
        and not _is_clip_of(one, by_name.get(_shot(one)[0]))
    ]


def _identified(one: DuplicateCandidate) -> tuple[str, str | None]:
    """Its folder, and the content identifier of its shot."""
    return os.path.dirname(one.file.path), one.content_identifier


def _is_short(one: DuplicateCandidate) -> bool:
    """Whether it is a film that may be the clip of a live photo."""
    return one.film is not None and one.pixels > 0 and one.film.duration_ms <= CLIP_MS


def _is_clip_of(one: DuplicateCandidate, picture: DuplicateCandidate | None) -> bool:
    """Whether it is the clip of a live photo that is called like it."""
    if picture is None or not _is_short(one):
        return False
    if same_identifier(one.content_identifier, picture.content_identifier) is False:
        return False
    return within_seconds(one.taken_at, picture.taken_at, one.file.mtime_ns, picture.file.mtime_ns)


def _is_raw(one: DuplicateCandidate) -> bool:
    return os.path.splitext(one.file.path)[1].lower() in RAW_SUFFIXES


def _shot(one: DuplicateCandidate) -> tuple[str, datetime | None]:
    taken = None if one.taken_at is None else one.taken_at.replace(microsecond=0, tzinfo=None)
    return os.path.splitext(one.file.path)[0], taken


def _known(photo: Photo) -> int:
    """How much is known of a photo that no other copy need have: what was noted, text and tags."""
    return len(noted(photo)) + sum(map(bool, (photo.text, photo.tags)))


def noted(photo: Photo) -> dict[str, object]:
    """What cameras and people noted of a photo, in it or beside it, and nothing can make again: by name."""
    own = photo.annotations
    values = {
        "words": photo.description,
        "date": photo.exif.taken_at,
        "place": photo.exif.latitude,
        "town": own.city,
        "people": own.people,
        "stars": own.rating,
        "label": own.label,
        "tags": photo.own_tags,
    }
    return {name: value for name, value in values.items() if value not in (None, "", ())}


def left_alone(left: Sequence[Skipped], named: int = 3) -> Iterator[str]:
    """What to say of files that were left alone: a line a reason, with the first ``named`` paths."""
    by_reason: dict[str, list[str]] = {}
    for one in left:
        by_reason.setdefault(one.reason, []).append(one.path)
    for reason, paths in by_reason.items():
        more = f" and {len(paths) - named:,} more" if len(paths) > named else ""
        code = "changed-files" if reason == CHANGED else "unreadable-files"
        yield Note(f"left alone, {reason}: {', '.join(paths[:named])}{more}", code)


def _by_quality(candidates: Iterable[DuplicateCandidate]) -> list[_Content]:
    """A content each, the best first, photos before all else; its files the oldest first, then the shortest path."""
    found: dict[int, list[DuplicateCandidate]] = {}
    for one in candidates:
        found.setdefault(one.vector, []).append(one)
    for same in found.values():
        same.sort(key=lambda one: (one.file.mtime_ns, len(one.file.path), one.file.path))
    best = sorted(
        found.values(),
        key=lambda same: (
            is_document(same[0]) or same[0].film is not None,
            -same[0].pixels,
            -same[0].file.size,
            same[0].file.mtime_ns,
            same[0].file.path,
        ),
    )
    return [
        _Content(
            one.vector,
            tuple(other.file for other in same),
            one.taken_at,
            one.dhash,
            one.pixels,
            is_document(one),
            one.film,
        )
        for same in best
        for one in same[:1]
    ]


class _Files:
    """The files of contents that are still as they were indexed; each is looked at once, when it is asked for."""

    def __init__(self, contents: Sequence[_Content]) -> None:
        self.left: dict[str, str] = {}  # path -> why it was left alone
        self._contents = contents
        self._found: dict[int, tuple[Found, ...]] = {}

    def of(self, row: int) -> tuple[Found, ...]:
        if row not in self._found:
            self._found[row] = tuple(self._present(self._contents[row].files))
        return self._found[row]

    def leave(self, row: int, reason: str) -> None:
        """Leave the files of a content alone from now on."""
        self.left |= {file.path: reason for file in self.of(row)}
        self._found[row] = ()

    def _present(self, files: Iterable[Found]) -> Iterator[Found]:
        seen = set()
        for file in files:
            if os.path.islink(file.path):
                continue
            reason = trouble(file)
            if reason is not None:
                self.left[file.path] = reason
                continue
            name = identity(file.path)
            if name not in seen:
                seen.add(name)
                yield file


class _Sketches:
    """Of contents, read when they are needed, by several threads."""

    def __init__(self, files: _Files, max_megapixels: float, threads: int) -> None:
        self._files, self._limit = files, max_megapixels
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="mmsearch-compare")
        self._known: dict[int, Sketch | None] = {}

    def read(self, rows: Iterable[int]) -> None:
        """Read those that are not known yet."""
        new = [row for row in rows if row not in self._known]
        for row, found in zip(new, self._pool.map(self._read, [self._files.of(row) for row in new]), strict=True):
            if isinstance(found, str):
                self._files.leave(row, found)
            self._known[row] = found if isinstance(found, Sketch) else None

    def get(self, row: int) -> Sketch | None:
        """None where it cannot be read."""
        return self._known[row]

    def forget(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._known.pop(row, None)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _read(self, files: tuple[Found, ...]) -> Sketch | str | None:
        """Of the first file; a reason where it cannot be read."""
        if not files:
            return None
        try:
            with open_regular(files[0].path) as file:
                return sketch(file, files[0].path, self._limit)
        except ImageError as error:
            return error.reason
        except OSError as error:
            return error.strerror or str(error)


def _near(
    contents: Sequence[_Content],
    vectors: Vectors,
    files: _Files,
    least: float | None,
    max_megapixels: float,
    threads: int,
    progress: Callable[[Progress], None] | None,
) -> Ids:
    """For each content the row of the best one that is near and stands for itself, or its own row."""
    count = len(contents)
    hashes, hashed = as_numbers([one.dhash for one in contents])
    proposed = PROPOSED if least is None else [(bits, least) for bits, _ in PROPOSED]
    propose = Proposals(vectors, hashes.astype(">u8").view(np.uint8).reshape(-1, 8), hashed, proposed, least)
    taken, exact = taken_at(contents)
    stands, free = np.arange(count), np.ones(count, np.bool_)
    sketches = _Sketches(files, max_megapixels, threads)
    try:
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            pairs = propose.block(start, stop, free)
            for row, later in pairs.items():
                apart = np.abs(taken[later] - taken[row])
                # The camera says that these are two shots.  Editors drop fractions of a second, but not more.
                pairs[row] = later[~((apart >= 1) | ((apart > 0) & exact[row] & exact[later]))]
            sketches.read(sorted({row for row, later in pairs.items() if len(later) for row in (row, *later.tolist())}))
            for row, later in pairs.items():
                best = sketches.get(row) if free[row] and len(later) else None
                for other in later[free[later]].tolist() if best is not None else ():
                    candidate = sketches.get(other)
                    if best is not None and candidate is not None and alike(best, candidate):
                        stands[other], free[other] = row, False
            sketches.forget(range(start, stop))
            if progress is not None:
                progress(Progress(stop, count, contents[stop - 1].files[0].path, "duplicates"))
    finally:
        sketches.close()
    return stands


class Proposals:
    """Pairs of contents that may be near: every one whose hash and cosine allow it."""

    def __init__(
        self,
        vectors: Vectors,
        codes: NDArray[np.uint8],
        hashed: NDArray[np.bool_],
        rules: Sequence[tuple[int, float]],
        least: float | None,
    ) -> None:
        """Of ``vectors`` (n, dim), unit rows, and ``codes`` (n, 8) uint8, the hashes of those that are ``hashed`` (n,).

        ``rules`` are pairs of how many bits may differ and the least cosine then; ``least`` is the least cosine where a
        hash is missing, None for the usual one.
        """
        self._vectors, self._codes, self._hashed, self._rules = vectors, np.ascontiguousarray(codes), hashed, rules
        self._unhashed = UNHASHED if least is None else least

    def block(self, start: int, stop: int, free: NDArray[np.bool_]) -> dict[int, Ids]:
        """For each free row of a block, in order, the later free rows that may be near, ascending; no empty ones."""
        rows = start + np.flatnonzero(free[start:stop])
        later = start + np.flatnonzero(free[start:])
        found: dict[int, list[Ids]] = {}
        for row, others in (*self._by_hash(rows, later), *self._by_vector(rows, later)):
            found.setdefault(row, []).append(others)
        return {row: np.sort(np.concatenate(found[row])) for row in sorted(found)}

    def _by_hash(self, rows: Ids, later: Ids) -> Iterator[tuple[int, Ids]]:
        import faiss as stubbed

        faiss: Any = stubbed
        rows, later = rows[self._hashed[rows]], later[self._hashed[later]]
        if not len(rows):
            return
        index = faiss.IndexBinaryFlat(64)
        index.add(self._codes[later])
        widest = max(bits for bits, _ in self._rules)
        limits, distances, columns = index.range_search(self._codes[rows], widest + 1)  # FAISS finds what is below
        for row, begin, end in zip(rows.tolist(), limits[:-1].tolist(), limits[1:].tolist(), strict=True):
            others, bits = later[columns[begin:end]], distances[begin:end]
            after = others > row
            others, bits = others[after], bits[after]
            cosines = self._vectors[others] @ self._vectors[row]
            allowed = np.zeros(len(others), np.bool_)
            for most, least in self._rules:
                allowed |= (bits <= most) & (cosines >= least)
            if allowed.any():
                yield row, others[allowed]

    def _by_vector(self, rows: Ids, later: Ids) -> Iterator[tuple[int, Ids]]:
        """Pairs of which at least one has no hash."""
        lone = later[~self._hashed[later]]
        for part_rows, others in ((rows[self._hashed[rows]], lone), (rows[~self._hashed[rows]], later)):
            for start in range(0, len(others) if len(part_rows) else 0, COLUMNS):
                part = others[start : start + COLUMNS]
                cosines = self._vectors[part_rows] @ self._vectors[part].T  # (rows, dim) x (dim, columns)
                enough = (cosines >= self._unhashed) & (part > part_rows[:, None])
                for number in np.flatnonzero(enough.any(axis=1)).tolist():
                    yield int(part_rows[number]), part[enough[number]]
