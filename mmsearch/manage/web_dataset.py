"""Photos of a library and what is written about them as WebDataset shards, for programs that train models.

A shard is a plain tar file, ``00000.tar``, of samples: ``00000000.jpg``, ``.png`` or ``.webp``; ``00000000.txt``, a
caption a line, where there is one; and ``00000000.json``, all that is known.  open_clip and img2dataset have them so.
Members have no times and no owners: the same photos give the same bytes.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import ImageError, TransferError
from mmsearch.manage.export import new_folder
from mmsearch.media.decode import upright_photo
from mmsearch.media.filesystem import atomic_folder, read_regular
from mmsearch.media.kinds import kind_of
from mmsearch.types import Photo, Progress, Skipped

SAMPLES = 10_000  # of a shard at most, as img2dataset has it
SHARD = 10**9  # bytes of a shard, above which the next sample begins another one
MOST = 2**30  # bytes of a photo's file
_JPEG_SIDE = 65_500  # pixels: libjpeg writes no longer side
_QUALITY = 90  # of JPEG


@dataclass(frozen=True)
class WebDatasetReport:
    """What an export as WebDataset shards wrote."""

    samples: int
    captioned: int  # samples with a caption
    shards: int  # tar files
    skipped: tuple[Skipped, ...]  # films, documents, and what cannot be read


class _Shards:
    """Tar files of a folder, each begun when the one before is full."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._archive: tarfile.TarFile | None = None
        self._inside = 0  # samples
        self.count = 0

    def add(self, name: str, members: Iterable[tuple[str, bytes]]) -> None:
        """A sample: the content of each of its members, by suffix."""
        if self._archive is None or self._inside == self._most or self._archive.offset >= SHARD:
            self.close()
            file = self._folder / f"{self.count:05d}.tar"
            self._archive = tarfile.TarFile(file, "w", format=tarfile.USTAR_FORMAT)
            self.count += 1
        for suffix, content in members:
            info = tarfile.TarInfo(name + suffix)
            info.size, info.mode = len(content), 0o644
            self._archive.addfile(info, io.BytesIO(content))
        self._inside += 1

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
        self._archive, self._inside = None, 0


def write_shards(
    blocks: Iterable[list[Photo]],
    total: int,
    folder: Path,
    max_side: int | None,
    max_megapixels: float,
    progress: Callable[[Progress], None] | None = None,
    per_shard: int = SAMPLES,
) -> WebDatasetReport:
    """Write photos as samples into a new or empty folder, which gets its name when all is written.

    Args:
        blocks: The photos.  Films and documents are skipped, and so is what cannot be read.
        total: How many there are about, for ``progress``.
        folder: Where to.
        max_side: Pixels of the longer side, where larger photos are made smaller; None leaves JPEG, PNG and WebP files
            as they are, byte for byte.  All others become upright JPEGs.
        max_megapixels: Of a photo that is decoded.
        progress: Called after each block of photos.
        per_shard: Samples of a tar file at most.

    Raises:
        TransferError: The folder is not empty or cannot be written.
    """
    target = new_folder(folder)
    skipped: dict[str, Skipped] = {}  # by path: a film comes once a moment, a document once a page
    samples = captioned = done = 0
    try:
        with atomic_folder(target) as draft:
            shards = _Shards(draft, per_shard)
            try:
                for photos in blocks:
                    for photo in photos:
                        try:
                            suffix, picture = _picture(photo, max_side, max_megapixels)
                        except (ImageError, ValueError) as error:
                            skipped[photo.path] = Skipped(photo.path, getattr(error, "reason", str(error)))
                            continue
                        said = list(_captions(photo))
                        members = [(suffix, picture), (".json", _described(photo))]
                        if said:
                            members.insert(1, (".txt", "\n".join(said).encode("utf-8", "replace")))
                        shards.add(f"{samples:08d}", members)
                        samples, captioned = samples + 1, captioned + bool(said)
                    done += len(photos)
                    if progress is not None:
                        progress(Progress(done, total, str(folder)))
            finally:
                shards.close()
    except OSError as error:
        raise TransferError(f"{folder} cannot be written: {error.strerror or error}") from error
    return WebDatasetReport(samples, captioned, shards.count, tuple(skipped.values()))


def _picture(photo: Photo, max_side: int | None, max_megapixels: float) -> tuple[str, bytes]:
    """The suffix and the bytes of a photo's file, or of what is made of it.  Raises ImageError, ValueError."""
    if photo.film is not None:
        raise ValueError("sound is no sample" if photo.is_sound else "a film is no sample")
    try:
        content = read_regular(photo.path, MOST)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from error
    kind = kind_of(io.BytesIO(content), photo.path)
    if kind != "photo":
        raise ValueError(f"a {kind} is no sample")
    suffix = _suffix(content)
    longest = max(photo.width, photo.height)
    if suffix is not None and (max_side is None or longest <= max_side):
        return suffix, content
    smaller = upright_photo(
        io.BytesIO(content), photo.path, min(max_side or longest, _JPEG_SIDE), max_megapixels, enlarge=False
    )
    made = io.BytesIO()
    smaller.save(made, "JPEG", quality=_QUALITY)
    return ".jpg", made.getvalue()


def _suffix(content: bytes) -> str | None:
    """Of a kind that every reader of shards decodes, by what is in the file now; None for others."""
    if content.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    return ".webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


def _captions(photo: Photo) -> Iterator[str]:
    """What people wrote about a photo, a line each; where they wrote nothing, what a model said."""
    for line in (photo.description or photo.caption or "").splitlines():
        if short := " ".join(line.split()):
            yield short


def _described(photo: Photo) -> bytes:
    """All that is known of a photo; the name of its file, and not where it lies, since shards are handed on."""
    known = photo.to_dict()
    known["path"] = os.path.basename(photo.path)
    return json.dumps(known).encode()  # in ASCII: bytes of a name that are no UTF-8 stay as escapes
