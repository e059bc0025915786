"""What the rooms ask of a library's store, whatever engines are behind it.

Three parts, which one driver may be all of (``sqlite/``), or several together behind one ``Store``:

- ``MetadataStore``: models, files, items, what is known of them and whom a query finds by it.  It alone commits.
- ``VectorStore``: the vectors of items by id.  ``VectorSearch`` finds the nearest of them.
- ``BlobStore``: bytes by kind and id, such as region tokens.

Nobody writes to the last two but a ``StoreWriter`` (``writing.py``), which is given vectors and tokens with the rows
that they belong to.  So a driver of one file commits all together; one of several engines stores the blobs first, then
rows and vectors, the latter for its outbox, in one transaction, and hands them on when that is done.

Whoever implements one of these adds a line to the suites of what all do alike, ``tests/store/test_*_contract.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmsearch.encoders.protocol import RegionCard
from mmsearch.indexes.protocol import VectorIndex
from mmsearch.media.dhash import Hashes
from mmsearch.query.model import Condition, Order
from mmsearch.store.blob_store import BlobStore
from mmsearch.store.care import Care
from mmsearch.store.moving import Movable
from mmsearch.store.part_rows import PartRows
from mmsearch.store.pending_rows import PendingRows
from mmsearch.store.server_parts import ServerParts
from mmsearch.store.statistics import Statistics
from mmsearch.store.types import (
    Block,
    Capabilities,
    Contents,
    Damage,
    DuplicateCandidate,
    FacetCounts,
    KeptModel,
    Overview,
    StoredFile,
    StoredModel,
    StoredSound,
    WordHit,
)
from mmsearch.store.writing import StoreWriter
from mmsearch.types import Damaged, Found, Ids, Photo, Progress, Regions, Skipped, Vectors

if TYPE_CHECKING:
    from typing_extensions import Self

    from mmsearch.indexes.collection import Collection


class Lock(Protocol):
    """Makes the lock of those who write; with ``wait``, it waits for another process in place of LibraryBusyError."""

    def __call__(self, wait: bool = False) -> AbstractContextManager[None]: ...


class ModelRows(Protocol):
    """The models that there are vectors of."""

    def model(self) -> StoredModel | None:
        """The active model, or None before the first ``index``."""
        ...

    def kept_models(self) -> list[KeptModel]:
        """The models that there are vectors of, the active one first."""
        ...

    def known_model(self, fingerprint: str) -> StoredModel | None:
        """The model of this fingerprint, active or not; None where there is none."""
        ...

    def pending_vectors(self, model: StoredModel) -> int:
        """How many pictures that can be found have no vector of this model."""
        ...


class FileRows(Protocol):
    """Files, and what is stored of their contents."""

    def roots(self) -> list[str]:
        """The folders and files that were indexed, sorted."""
        ...

    def exclusions(self) -> dict[str, tuple[str, ...]]:
        """By root, the globs of what index runs leave out of it; roots without any are not in it."""
        ...

    def files(self, root: str, model: StoredModel) -> dict[str, StoredFile]:
        """What is stored of ``root`` itself and everything below it, by path."""
        ...

    def contents(self, model: StoredModel) -> Contents:
        """Hash -> id of every content that has a vector."""
        ...

    def files_at(self, paths: Sequence[str], model: StoredModel) -> dict[str, StoredFile]:
        """Those of these files that are known, by path; what is below one is not looked at."""
        ...

    def remote_lacking(self, model: StoredModel) -> dict[str, StoredFile]:
        """Files in object stores and on web servers that were read, and have no vector of this model, by path."""
        ...

    def existing_paths(self, paths: Sequence[str]) -> set[str]:
        """Which of these files are known, whatever their state."""
        ...

    def hashed(self) -> list[tuple[Found, bytes]]:
        """The files that can be found, as they were read, with the hashes of their contents, in the order of paths."""
        ...

    def sounds(self, roots: Sequence[str]) -> dict[str, StoredSound]:
        """The audio files in or below ``roots`` that were read, by path, in whatever state they are."""
        ...

    def failures(self) -> list[Skipped]:
        """Files that could not be read, with their reasons, by path."""
        ...

    def damaged(self) -> list[Damaged]:
        """Files that can be found and of which something could not be read, by path."""
        ...

    def duplicate_candidates(self, model: StoredModel, within: Sequence[str] = ()) -> list[DuplicateCandidate]:
        """All files that can be found, in the order of their paths; ``within`` keeps those in or below these paths."""
        ...


class ItemRows(Protocol):
    """What is searched, by the ids of its vectors: which items a query may find, and the files that a hit shows.

    Conditions arrive as the tree that the query language makes; the driver compiles them.
    """

    def searchable(self, model: StoredModel, within: Sequence[str] = (), conditions: Sequence[Condition] = ()) -> Ids:
        """Ids of all vectors that may be found, ascending.

        ``within`` keeps those in or below these paths, ``conditions`` those that have a file that meets all of them.
        """
        ...

    def photos(
        self, ids: Sequence[int], within: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> dict[int, list[Photo]]:
        """The files that have these vectors, by vector id, in the order of their paths; an id may have none.

        ``within`` keeps those in or below these paths, ``conditions`` those that meet all of them.
        """
        ...

    def beside(
        self, paths: Sequence[str], within: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> dict[str, list[Photo]]:
        """By path, the other files in its folder that differ from it in nothing but the suffix, and can be found.

        Behind them come files there that have the same content identifier of the camera, whatever they are called.

        ``within`` and ``conditions`` as of ``photos``.  Paths without such files are left out.
        """
        ...

    def listed(self, model: StoredModel, ids: Ids | None, order: Order, descending: bool, count: int) -> list[int]:
        """The first ``count`` of these vectors, all where None, by date, name or size of their files.

        A picture of several files stands where the first of them does.  Of a film or document it is one vector, that
        of the first of its parts among these.
        """
        ...

    def vector_of(self, path: str, model: StoredModel) -> int | None:
        """The id of the vector of what this file held when it was last read well; None where nothing is known."""
        ...

    def of_model(self, ids: Ids, model: StoredModel) -> Ids:
        """The ids (n,) of the vectors that ``model`` made of the items with these vectors; -1 where there is none."""
        ...

    def photos_by_id(self, ids: Sequence[int], model: StoredModel) -> dict[int, Photo]:
        """The files with these ids (``Photo.id``) that can be found, by id; others are left out."""
        ...

    def content_hash(self, photo: int) -> bytes | None:
        """The hash of what a file held when it was last read well, by its id; None where nothing is known."""
        ...

    def facets(
        self,
        model: StoredModel,
        within: Sequence[str] = (),
        conditions: Sequence[Condition] = (),
        photos: Ids | None = None,
        most: int = 50,
    ) -> FacetCounts:
        """What the files are that can be found, by years, cameras and so on, ``most`` values of each.

        ``within`` and ``conditions`` as of ``photos``; ``photos`` keeps those with these ids (``Photo.id``).
        """
        ...

    def overview(
        self,
        model: StoredModel,
        within: Sequence[str] = (),
        conditions: Sequence[Condition] = (),
        photos: Ids | None = None,
    ) -> Overview:
        """When and where the files were taken that ``facets`` counts."""
        ...

    def hashes(self, ids: Ids) -> tuple[Hashes, NDArray[np.bool_]]:
        """The difference hashes of the pictures with these vector ids, in their order, and which of them there are."""
        ...


class WordSearch(Protocol):
    """Full-text search over what is written about photos: names, descriptions, captions, read text, tags."""

    def find_words(
        self, text: str, model: StoredModel, allowed: Ids | None = None, limit: int = 1000, exact: bool = False
    ) -> list[WordHit]:
        """Pictures with words of ``text`` in name, description, caption, read text or tags, best first.

        At most ``limit``, of those with ids in ``allowed`` where given.  Whatever the text is, it is no syntax: letters
        and digits are looked for, the rest separates.  Words such as "the" are left out where there are others, and so
        are words that most photos have.  With ``exact`` all of them must be there in this order.  Forms of a word (dog,
        dogs) are the same, and so are letters with and without accents.
        """
        ...

    def reasons(
        self, text: str, ids: Sequence[int], model: StoredModel, exact: bool = False
    ) -> dict[int, tuple[str, ...]]:
        """Where the pictures with these vector ids have words of ``text``, such as "name: IMG_2041", by vector id.

        Pictures that have none are left out.  Meant for a page of hits: it takes about 0.1 ms a picture.
        """
        ...


class ExportReader(Protocol):
    """All that is known of the files that can be found, of one model, at one moment."""

    @property
    def region_card(self) -> str | None:
        """The fingerprint that most region tokens have; None where there are none."""
        ...

    @property
    def region_bytes(self) -> int:
        """The bytes that the tokens of a picture take; 0 where there are none."""
        ...

    def vectors(self) -> int:
        """How many vectors a file has."""
        ...

    def blocks(self) -> Iterator[Block]:
        """All of them, in the order of the ids of the vectors; copies, which share one, in the order of their paths."""
        ...


class MetadataStore(
    ModelRows, FileRows, Statistics, ItemRows, PartRows, WordSearch, PendingRows, Care, ServerParts, Protocol
):  # fmt: skip
    """The truth of a library.  Reading is safe from several threads, each method sees what was committed before."""

    @property
    def folder(self) -> Path:
        """Where on this machine the library keeps what is made of it, such as its index."""
        ...

    @property
    def place(self) -> str:
        """Where the library is, as people name it: its folder, or an address without a password."""
        ...

    def stored_bytes(self) -> int:
        """How many bytes it takes on another machine."""
        ...

    @property
    def blobs_at(self) -> str | None:
        """The address of the object store, or of the folder, that has its blobs; None where its database has them."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def lock(self) -> Lock: ...

    def writing(self) -> AbstractContextManager[StoreWriter]:
        """One transaction: everything done through the writer is stored together, or not at all."""
        ...

    def generation(self) -> int:
        """Grows with every change of what can be found."""
        ...

    def identity(self) -> str:
        """Random letters that tell this database from every other."""
        ...

    def export_rows(self, model: StoredModel) -> AbstractContextManager[ExportReader]:
        """All that is known of the files that can be found, as it is at this moment, whatever is written meanwhile."""
        ...

    def close(self) -> None: ...


class VectorStore(Protocol):
    """The vectors of items.  An id is int64, of one item and one model, and never used for another one."""

    def vectors(self, ids: Ids, dim: int) -> Vectors:
        """The stored vectors of ``ids``, in their order, (n, dim) float32.  Raises KeyError for an unknown id.

        Of what has none, see ``without_vectors``, rows of zeros.
        """
        ...

    def collection(self, name: str, model: StoredModel) -> Collection:
        """Where the server searches rows of a model, dim + 1 wide; ``name`` tells it from others.

        Asked only of a driver whose ``Capabilities`` say so.
        """
        ...


class VectorSnapshot(Protocol):
    """The vectors that searches see, as they were at one moment.  It never changes."""

    @property
    def index(self) -> VectorIndex:
        """Rows are vectors with their hubness behind them: 0 where there is no query bank."""
        ...

    @property
    def generation(self) -> int:
        """Of the store."""
        ...

    @property
    def model(self) -> StoredModel: ...


class VectorSearch(Protocol):
    """The nearest vectors: what keeps a ``VectorIndex`` in step with the store.

    Embedded it is ``library/live_index.py``, which makes one of the rows of the ``VectorStore``.  An engine that
    searches by itself hands out itself, once it has what was committed.
    """

    def snapshot(self) -> VectorSnapshot:
        """The newest one that can be had without waiting for another thread.  Raises NoModelError."""
        ...

    def searched(self, snapshot: Any) -> VectorIndex:
        """The index of a snapshot that it gave, on the device that searches."""
        ...

    def without_engine(self) -> VectorSnapshot:
        """What can be searched without the engine, for one search; asks the store alone.  Raises NoModelError."""
        ...

    def ping(self) -> None:
        """Ask the engine whether it answers, where it is on a server.  Raises LibraryError where it does not."""
        ...

    def refresh(self, model: StoredModel, save: bool = False) -> VectorIndex:
        """The index of a model, caught up with the store; kept for the next start with ``save``."""
        ...

    def maintain(self, model: StoredModel, progress: Callable[[Progress], None] | None) -> None:
        """Build, extend or tidy what finds the nearest, if that is due; searches go on meanwhile."""
        ...

    def maintained_beside(
        self, model: StoredModel, progress: Callable[[Progress], None] | None
    ) -> AbstractContextManager[Callable[[Progress], None]]:
        """Maintains it while many pictures are stored.

        Gives what an index run is to call after each picture, in place of ``progress``.
        """
        ...

    def damages(self, model: StoredModel, deep: bool = False) -> Iterator[Damage]:
        """What of it is not as the store has it; ``deep`` compares all rows."""
        ...

    def discard(self, model: StoredModel) -> None:
        """Throw it away: the next one is made of what the store holds."""
        ...

    def reset(self) -> None:
        """Remember nothing of what the store said."""
        ...


class Store(MetadataStore, VectorStore, Movable, Protocol):
    """The three together, as a library is given them.  A context manager that closes it."""

    @property
    def blobs(self) -> BlobStore: ...

    def regions(self, ids: Ids, model: StoredModel, card: RegionCard) -> tuple[Regions, NDArray[np.bool_]]:
        """The region tokens of the pictures with these vector ids, in their order, and which of them there are.

        (n, side * side, dim) float32 and (n,); where there are none of this card, zeros and False.  Raises LibraryError
        for damaged ones.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
