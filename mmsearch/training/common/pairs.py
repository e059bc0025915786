"""Captioned photos: read, checked, divided, and decoded."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import ImageError, SourceError
from mmsearch.media.decode import decode
from mmsearch.media.filesystem import open_regular, read_text
from mmsearch.training.common import augment, shards
from mmsearch.training.common.shards import Member
from mmsearch.types import Pixels, Preprocess, Skipped

log = logging.getLogger(__name__)

IN_MEMORY = 2 * 2**30  # bytes of decoded photos that are kept; more are decoded anew each epoch
MARGIN = 1.25  # photos are kept this much larger than the model wants them, for crops to keep their detail
Report = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Pairs:
    """Photos with their captions: those of photo i are ``texts[i]``."""

    folder: Path
    names: tuple[str, ...]  # relative to ``folder``
    texts: tuple[tuple[str, ...], ...]
    skipped: tuple[Skipped, ...] = ()  # photos that could not be decoded
    members: Mapping[str, Member] = field(default_factory=dict)  # of photos in tar files, by name, where they lie

    def __len__(self) -> int:
        return len(self.names)

    @property
    def captions(self) -> int:
        return sum(len(own) for own in self.texts)

    def caption_rows(self) -> list[NDArray[np.int64]]:
        """The captions of each photo as rows of the flat list of all captions."""
        ends = np.cumsum([len(own) for own in self.texts])
        return [np.arange(end - len(own), end) for end, own in zip(ends, self.texts, strict=True)]

    def groups(self) -> NDArray[np.int64]:
        """A number for each photo, (photos,): the same where photos share a caption, whatever its case, or are joined
        by others that do.  Photos of one group are no wrong answers to each other."""
        parent = np.arange(len(self))

        def root(photo: int) -> int:
            while parent[photo] != photo:
                parent[photo] = parent[parent[photo]]
                photo = int(parent[photo])
            return photo

        first: dict[str, int] = {}
        for photo, own in enumerate(self.texts):
            for text in own:
                parent[root(photo)] = root(first.setdefault(text.casefold(), photo))
        return np.array([root(photo) for photo in range(len(self))], np.int64)

    @property
    def digest(self) -> str:
        """16 hex digits over names and captions: whether a resumed run has the pairs it had."""
        text = "\n".join("\t".join((name, *own)) for name, own in zip(self.names, self.texts, strict=True))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def keep(self, rows: Iterable[int], skipped: Sequence[Skipped] = ()) -> Pairs:
        """Only the photos of these rows; ``skipped`` says what the others suffered from."""
        rows = list(rows)
        names, texts = tuple(self.names[row] for row in rows), tuple(self.texts[row] for row in rows)
        return Pairs(self.folder, names, texts, (*self.skipped, *skipped), self.members)

    def open(self, row: int) -> BinaryIO:
        """The file of a photo, or what a tar file has in its place.  Raises OSError."""
        member = self.members.get(self.names[row])
        return open_regular(self.folder / self.names[row]) if member is None else shards.open_member(member)


def read_lines(file: Path) -> list[tuple[int, str]]:
    """Lines with their numbers, from 1; blank ones are left out.  Raises SourceError."""
    try:
        lines = read_text(file, "utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is no UTF-8 text: {error}") from error
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def read(file: Path, folder: Path) -> Pairs:
    """The pairs of ``file``: lines ``file name<TAB>caption``, UTF-8, no header; blank lines count for nothing.

    Raises SourceError, with the line's number, for a line without a tab, an empty caption, or a photo that is not in
    ``folder``; and when there are no pairs.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder")
    texts: dict[str, list[str]] = {}
    missing: dict[str, int] = {}
    for number, line in read_lines(file):
        name, tab, caption = line.partition("\t")
        if not tab or not name.strip():
            raise SourceError(f"{file}, line {number}: wanted 'file name<TAB>caption', got {line[:60]!r}")
        if not caption.strip():
            raise SourceError(f"{file}, line {number}: the caption of {name!r} is empty")
        if name not in texts and not (folder / name).is_file():
            missing.setdefault(name, number)
        texts.setdefault(name, []).append(caption.strip())
    if missing:
        name, number = next(iter(missing.items()))
        others = f"; {len(missing) - 1} more photos are missing" if len(missing) > 1 else ""
        raise SourceError(f"{file}, line {number}: there is no photo {name!r} in {folder}{others}")
    if not texts:
        raise SourceError(f"{file}: no pairs; wanted lines of 'file name<TAB>caption'")
    return Pairs(folder, tuple(texts), tuple(tuple(own) for own in texts.values()))


def read_shards(path: Path) -> Pairs:
    """The pairs in WebDataset shards: see ``shards.files_of`` and ``shards.read``.  Raises SourceError."""
    files = shards.files_of(path)
    samples = shards.read(files)
    members = {sample.name: sample.picture for sample in samples}
    if len(members) < len(samples):
        raise SourceError(f"{path}: two shards have the same name; rename one")
    return Pairs(
        files[0].parent,
        tuple(sample.name for sample in samples),
        tuple(sample.captions for sample in samples),
        members=members,
    )


def split(pairs: Pairs, share: float, seed: int = 0) -> tuple[Pairs, Pairs]:
    """Training and dev pairs, no photo in both; ``share`` in [0, 1) of the photos, at least one, become dev.

    Which ones depends on their names and ``seed`` only, so it is the same in every run.
    """

    def place(row: int) -> bytes:
        return hashlib.sha256(f"{seed} {pairs.names[row]}".encode("utf-8", "surrogatepass")).digest()

    order = sorted(range(len(pairs)), key=place)
    count = min(max(1, round(share * len(pairs))), len(pairs) - 1) if share > 0 else 0
    cut = len(pairs) - count
    return pairs.keep(sorted(order[:cut])), pairs.keep(sorted(order[cut:]))


def without(pairs: Pairs, others: Pairs) -> Pairs:
    """The pairs whose photos are not among ``others``: nobody is examined on what was taught."""
    there = {_place_of(others, name) for name in others.names}
    return pairs.keep(row for row, name in enumerate(pairs.names) if _place_of(pairs, name) not in there)


def _place_of(pairs: Pairs, name: str) -> object:
    """What is the same of the same photo: its name, or where it lies in a tar file, as two may be called alike."""
    member = pairs.members.get(name)
    return os.path.normpath(name) if member is None else (os.path.realpath(member.file), member.offset)


class Pictures:
    """The decoded photos of some pairs, kept in memory where they fit.  Rows are those of ``pairs``."""

    def __init__(self, pairs: Pairs, preprocess: Preprocess, margin: float = 1.0, limit: int = IN_MEMORY) -> None:
        self._pairs, self.size = pairs, preprocess.size
        self._preprocess = replace(preprocess, size=round(margin * preprocess.size))
        side = self._preprocess.size
        self._kept: list[Pixels] | None = [] if len(pairs) * side * side * 3 <= limit else None

    @classmethod
    def open(
        cls, pairs: Pairs, preprocess: Preprocess, margin: float = 1.0, limit: int = IN_MEMORY,
        report: Report | None = None,
    ) -> tuple[Pairs, Pictures]:  # fmt: skip
        """Decodes every photo once; the pairs whose photos could be decoded, and these photos.

        Raises SourceError when none could.
        """
        tried = cls(pairs, preprocess, margin, limit)
        rows: list[int] = []
        skipped: list[Skipped] = []
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for row, found in enumerate(pool.map(tried._try, range(len(pairs)))):
                if isinstance(found, Skipped):
                    skipped.append(found)
                else:
                    rows.append(row)
                    if tried._kept is not None and found is not None:
                        tried._kept.append(found)
                if report is not None:
                    report(row + 1, len(pairs))
        if not rows:
            first = f"; the first: {skipped[0].path}: {skipped[0].reason}" if skipped else ""
            raise SourceError(f"no pairs are left: none of the {len(pairs)} photos could be read{first}")
        kept = pairs.keep(rows, skipped)
        tried._pairs = kept
        return kept, tried

    def _try(self, row: int) -> Pixels | Skipped | None:
        try:
            pixels = self._decode(row)
        except ImageError as error:
            return Skipped(error.path, error.reason)
        return pixels if self._kept is not None else None

    def _decode(self, row: int) -> Pixels:
        path = str(self._pairs.folder / self._pairs.names[row])
        try:
            with self._pairs.open(row) as file:
                return decode(file, path, self._preprocess).pixels
        except OSError as error:
            raise ImageError(path, f"cannot be read: {error.strerror or error}") from error

    def plain(self, rows: Sequence[int] | NDArray[np.int64]) -> Pixels:
        """These photos as the model would see them, (n, size, size, 3)."""
        return np.stack([augment.plain(self._pixels(int(row)), self.size) for row in rows])

    def views(self, rows: Sequence[int] | NDArray[np.int64], seed: int, round_: int) -> Pixels:
        """A view of each of these photos, (n, size, size, 3); always the same for a ``seed`` and a ``round_``."""
        return np.stack(
            [augment.view(self._pixels(int(row)), self.size, augment.generator(seed, round_, int(row))) for row in rows]
        )

    def _pixels(self, row: int) -> Pixels:
        return self._kept[row] if self._kept is not None else self._decode(row)
