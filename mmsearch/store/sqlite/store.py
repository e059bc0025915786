"""The embedded driver: one SQLite file with every photo, vector and region token of a library.

It is all three of ``store/protocol.py``, where each method is described.  Reading is safe from several threads.  All
changes go through ``SqliteStore.writing``: one transaction, all or nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func

from mmsearch.encoders.protocol import RegionCard
from mmsearch.errors import LibraryError
from mmsearch.query.model import OneFits
from mmsearch.store.region_tokens import region_tokens
from mmsearch.store.sql.export_rows import ExportRows
from mmsearch.store.sql.file_rows import FileRows
from mmsearch.store.sql.model_rows import ModelCounts
from mmsearch.store.sql.pending import Pending
from mmsearch.store.sql.statistics import losses, summary
from mmsearch.store.sql.tables import photos
from mmsearch.store.sqlite.blobs import TableBlobs
from mmsearch.store.sqlite.connection import explained
from mmsearch.store.sqlite.items import Items
from mmsearch.store.sqlite.models import Models
from mmsearch.store.sqlite.parts import Parts
from mmsearch.store.sqlite.vectors import VectorRows
from mmsearch.store.sqlite.writer import Writer, grow
from mmsearch.store.types import Capabilities, Damage, Losses, StoredModel, Summary, Tidied
from mmsearch.store.writer_lock import WriterLock
from mmsearch.types import Ids, Progress, Regions

if TYPE_CHECKING:
    from typing_extensions import Self

    from mmsearch.indexes.collection import Collection
    from mmsearch.store.moving import RowSource, RowTarget


# The year in which a file was last written, in local time.
_WRITTEN = func.strftime("%Y", photos.c.mtime_ns // 1_000_000_000, "unixepoch", "localtime")


class SqliteStore(Models, Items, Parts, VectorRows, Pending, FileRows, ModelCounts):
    """All of it together, opened on a file: models, items, vectors, what is pending, and changes."""

    capabilities = Capabilities(
        full_text=True,
        backup_file=True,
        integrity_rules=True,
        vector_search=False,
        filters=frozenset(get_args(OneFits)),
    )

    def __enter__(self) -> Self:
        return self

    @property
    def folder(self) -> Path:
        return self.file.parent

    @property
    def place(self) -> str:
        return str(self.folder)

    def stored_bytes(self) -> int:
        return 0

    @property
    def blobs_at(self) -> str | None:
        return None

    def settle(self) -> None:
        """There is nothing to put in order."""

    def tidy_blobs(self, age: float | None = None) -> Tidied:
        return Tidied(0, 0, 0, 0, 0)

    @property
    def engines(self) -> dict[str, str]:
        return {}

    @property
    def thumbnails(self) -> None:
        return None

    @property
    def pool_sizes(self) -> dict[str, int]:
        return {}

    @property
    def blobs(self) -> TableBlobs:
        return TableBlobs(self._blob_transaction)

    @contextlib.contextmanager
    def _blob_transaction(self, write: bool) -> Iterator[Connection]:
        with explained(self.file), self._transaction(write) as connection:
            yield connection

    def collection(self, name: str, model: StoredModel) -> Collection:
        raise LibraryError(f"the library {self.place} is no server, and searches no vectors by itself")

    def regions(self, ids: Ids, model: StoredModel, card: RegionCard) -> tuple[Regions, NDArray[np.bool_]]:
        return region_tokens(self.blobs, ids, model, card)

    def lock(self, wait: bool = False) -> WriterLock:
        return WriterLock(self.folder, wait)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        with explained(self.file), self._transaction(write=True) as connection:
            writer = Writer(connection)
            yield writer
            writer.write_words()
            grown = [name for name, grows in (("generation", writer.changed), ("noted", writer.noted)) if grows]
            grow(connection, ("changes", *grown))

    def generation(self) -> int:
        return int(self._property("generation"))

    def identity(self) -> str:
        return self._property("identity")

    def _property(self, name: str) -> str:
        with explained(self.file), self._values.reading() as (connection, cached):
            one = "SELECT value FROM properties WHERE name = ?"
            return cached.of(name, lambda: str(connection.execute(one, (name,)).fetchone()[0]))

    def summary(self) -> Summary:
        with self._reading() as connection:
            return summary(connection, _WRITTEN)

    def losses(self, paths: Sequence[str]) -> Losses:
        with self._reading() as connection:
            return losses(connection, paths)

    @contextlib.contextmanager
    def export_rows(self, model: StoredModel) -> Iterator[ExportRows]:
        with self._reading() as connection:
            yield ExportRows(connection, model, TableBlobs(lambda _: contextlib.nullcontext(connection)))

    @contextlib.contextmanager
    def copied_from(self) -> Iterator[RowSource]:
        from mmsearch.store.sqlite.table_copy import Rows

        with self._reading() as connection:
            yield Rows(connection, TableBlobs(lambda _: contextlib.nullcontext(connection)), self.place)

    @contextlib.contextmanager
    def copied_to(self) -> Iterator[RowTarget]:
        from mmsearch.store.sqlite.table_copy import Adder

        with explained(self.file), self._transaction(write=True) as connection:
            yield Adder(connection, TableBlobs(lambda _: contextlib.nullcontext(connection)), self.place)

    def damages(self, card: RegionCard | None, deep: bool = False) -> list[Damage]:
        from mmsearch.store.sqlite import integrity

        with self._reading() as connection:
            return list(integrity.found(connection, card, deep))

    def mend(self, card: RegionCard | None) -> None:
        with self.writing() as writer:
            writer.mend(card)

    def backup(self, file: Path, force: bool = False, progress: Callable[[Progress], None] | None = None) -> None:
        from mmsearch.store.sqlite.backup import backup

        backup(self.file, file, force, progress)
