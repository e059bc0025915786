"""The truth of a library: one SQLite file with every photo and every vector.

Reading is safe from several threads.  All changes go through ``Store.writing``: one transaction, all or nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import text

from mmsearch.encoders.protocol import RegionCard
from mmsearch.store.sqlite.connection import explained
from mmsearch.store.sqlite.export_rows import ExportRows
from mmsearch.store.sqlite.items import Items
from mmsearch.store.sqlite.models import Models
from mmsearch.store.sqlite.pending import Pending
from mmsearch.store.sqlite.statistics import summary
from mmsearch.store.sqlite.tables import properties
from mmsearch.store.sqlite.vectors import VectorRows
from mmsearch.store.sqlite.writer import Writer
from mmsearch.store.types import Damage, StoredModel, Summary


class Store(Models, Items, VectorRows, Pending):
    """All of it together, opened on a file: models, items, vectors, what is pending, and changes."""

    def __enter__(self) -> Store:
        return self

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """One transaction: everything done through the yielded ``Writer`` is stored together, or not at all."""
        with explained(self.file), self._transaction(write=True) as connection:
            writer = Writer(connection)
            yield writer
            writer.write_words()
            if writer.changed:
                connection.execute(
                    properties.update()
                    .where(properties.c.name == "generation")
                    .values(value=text("CAST(CAST(value AS INTEGER) + 1 AS TEXT)"))
                )

    def generation(self) -> int:
        """Grows with every change of what can be found."""
        return int(self._property("generation"))

    def identity(self) -> str:
        """Random letters that tell this database from every other."""
        return self._property("identity")

    def _property(self, name: str) -> str:
        with explained(self.file), self._values.reading() as (connection, kept):
            one = "SELECT value FROM properties WHERE name = ?"
            return kept.of(name, lambda: str(connection.execute(one, (name,)).fetchone()[0]))

    def summary(self) -> Summary:
        """The library in figures."""
        with self._reading() as connection:
            return summary(connection)

    @contextlib.contextmanager
    def export_rows(self, model: StoredModel) -> Iterator[ExportRows]:
        """All that is known of the files that can be found, as it is at this moment, whatever is written meanwhile."""
        with self._reading() as connection:
            yield ExportRows(connection, model.id)

    def damages(self, card: RegionCard | None, deep: bool = False) -> list[Damage]:
        """What does not hold in the database; ``deep`` reads all of it.  ``card`` is that of the region tokens."""
        from mmsearch.store.sqlite import integrity

        with self._reading() as connection:
            return list(integrity.found(connection, card, deep))

    def mend(self, card: RegionCard | None) -> None:
        """Mend what ``damages`` finds, where that can be done."""
        with self.writing() as writer:
            writer.mend(card)
