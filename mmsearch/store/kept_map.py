"""The last map of a library (``manage/map``), as it is kept in its folder; conditions on clusters are met by it.

A file ``map-<library>-<model fingerprint>-<generation>.npz``: it names the database and the generation that its ids are
of, so that one that was put back to an earlier state finds no map of a later one.  It is written to a temporary name
and renamed; then older ones go.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.errors import LibraryError, QueryError
from mmsearch.language.letters import plain
from mmsearch.media.filesystem import atomic_file, open_regular
from mmsearch.types import Ids

log = logging.getLogger(__name__)

OWN = re.compile(r"map-[0-9a-f]{8,16}-[0-9A-Za-z-]{1,64}-[0-9]+\.npz")
FORMAT = 1
LISTED = 12  # names of clusters in an error


@dataclass(frozen=True)
class Cluster:
    """Pictures that are alike."""

    number: int  # from 1, the largest first
    name: str  # a few words for what they show
    size: int  # pictures


@dataclass(frozen=True, eq=False)
class KeptMap:
    """Where each picture lies and which cluster it is of; columns are in the order of ``ids``."""

    ids: Ids  # (n,) of vectors, ascending
    places: NDArray[np.float32]  # (n, 2)
    of: NDArray[np.int32]  # (n,) the number of its cluster; 0 for none
    laid_out: NDArray[np.bool_]  # (n,) the others were placed by the nearest of these
    clusters: tuple[Cluster, ...]  # by number, from 1
    generation: int  # of the library
    named_by: str  # "words" of the photos, or "vocabulary"
    method: str  # of the clusters

    def matching(self, asked: str) -> NDArray[np.int32]:
        """The numbers of the clusters that are meant: by number, else by words, each the beginning of one of a name."""
        text = asked.strip()
        if text.isascii() and text.isdigit():
            return np.array([one.number for one in self.clusters if one.number == int(text)], np.int32)
        wanted = _words(text)
        found = [
            one.number
            for one in self.clusters
            if wanted and all(any(own.startswith(word) for own in _words(one.name)) for word in wanted)
        ]
        return np.array(found, np.int32)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", plain(text))


class LastMap:
    """The last map in a folder, read again when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.state: object = None  # what tells the file that it was read from; None where there is none
        self._read: KeptMap | None = None

    def of(self, library: str, fingerprint: str, generation: int) -> KeptMap | None:
        """That of this library and model, at most of this generation; None where there is none."""
        file = newest(self._folder, library, fingerprint, generation)
        state = None
        if file is not None:
            try:
                status = file.stat()
                state = (file.name, status.st_ino, status.st_mtime_ns, status.st_size)
            except FileNotFoundError:
                file = None
        if state != self.state:
            self._read = None if file is None else read(file)
            self.state = state
        return self._read


def vectors_in(kept: KeptMap | None, asked: str) -> Ids:
    """The ids of the vectors in the clusters that are asked for.  Raises QueryError where there are none."""
    if kept is None:
        raise QueryError("no map of this library has been made, so there are no clusters yet", code="no-map")
    numbers = kept.matching(asked)
    if not len(numbers):
        raise QueryError(f"the map has no cluster {asked!r}; {_listed(kept)}", code="no-cluster")
    return kept.ids[np.isin(kept.of, numbers)]


def _listed(kept: KeptMap) -> str:
    shown = [f"{one.number} ({one.name})" for one in kept.clusters[:LISTED]]
    more = f" and {len(kept.clusters) - LISTED} more" if len(kept.clusters) > LISTED else ""
    return f"there are {', '.join(shown)}{more}; ask by number, or by words of the name"


def newest(folder: Path, library: str, fingerprint: str, generation: int) -> Path | None:
    """The file of the last map of this library and model, at most of this generation; None where there is none."""
    prefix = _prefix(library, fingerprint)
    found: dict[int, Path] = {}
    if not folder.is_symlink():
        for file in folder.glob(f"{prefix}*.npz"):
            number = file.stem[len(prefix) :]
            if number.isascii() and number.isdigit() and int(number) <= generation:
                found[int(number)] = file
    return found[max(found)] if found else None


def generation_of(file: Path) -> int:
    """The generation in the name of a map's file."""
    return int(file.stem.rpartition("-")[2])


def read(file: Path) -> KeptMap | None:
    """The map in a file; None where it is gone or damaged, which is logged."""
    try:
        with open_regular(file) as opened, np.load(opened, allow_pickle=False) as held:
            return _checked({name: held[name] for name in held.files})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        log.warning("the map %s cannot be read (%s); it counts for nothing", file, error)
        return None


def _checked(held: dict[str, NDArray[Any]]) -> KeptMap:
    """Raises ValueError, TypeError or LookupError where that is no map."""
    facts = json.loads(held["facts"].astype(np.uint8).tobytes())
    if facts["format"] != FORMAT:
        raise ValueError(f"format {facts['format']} is not known")
    clusters = tuple(Cluster(int(one["number"]), str(one["name"]), int(one["size"])) for one in facts["clusters"])
    found = KeptMap(
        held["ids"].astype(np.int64),
        held["places"].astype(np.float32),
        held["of"].astype(np.int32),
        held["laid_out"].astype(np.bool_),
        clusters,
        int(facts["generation"]),
        str(facts["named_by"]),
        str(facts["method"]),
    )
    count = len(found.ids)
    one_each = all(len(column) == count for column in (found.places, found.of, found.laid_out))
    if not one_each or found.places.shape != (count, 2) or not np.isfinite(found.places).all():
        raise ValueError("its columns do not belong together")
    if (np.diff(found.ids) <= 0).any() or [one.number for one in clusters] != list(range(1, len(clusters) + 1)):
        raise ValueError("its ids or clusters are not in their order")
    if count and not 0 <= found.of.min() <= found.of.max() <= len(clusters):
        raise ValueError("it has photos of clusters that it does not have")
    return found


def write(kept: KeptMap, folder: Path, library: str, fingerprint: str) -> Path:
    """Write a map, whole or not at all, then drop older ones; its file.  Raises LibraryError."""
    if folder.is_symlink():
        raise LibraryError(
            f"{folder} is a link; maps are made and deleted there, so it must be the library's own folder"
        )
    facts = {
        "format": FORMAT,
        "generation": kept.generation,
        "named_by": kept.named_by,
        "method": kept.method,
        "clusters": [asdict(one) for one in kept.clusters],
    }
    file = folder / f"{_prefix(library, fingerprint)}{kept.generation}.npz"
    try:
        folder.mkdir(exist_ok=True)
        with atomic_file(file) as draft, draft.open("wb") as opened:
            np.savez(
                opened,
                ids=kept.ids,
                places=kept.places,
                of=kept.of,
                laid_out=kept.laid_out,
                facts=np.frombuffer(json.dumps(facts).encode("ascii"), np.uint8),
            )
    except OSError as error:
        raise LibraryError(f"the map {file} cannot be written: {error.strerror or error}") from error
    for old in folder.glob("map-*.npz"):
        if old != file and OWN.fullmatch(old.name):
            with contextlib.suppress(OSError):
                old.unlink()
    return file


def _prefix(library: str, fingerprint: str) -> str:
    return f"map-{library}-{fingerprint}-"
