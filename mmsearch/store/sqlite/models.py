"""The models that a library has vectors of."""

from __future__ import annotations

from mmsearch.store.sqlite.connection import Database, explained
from mmsearch.store.types import StoredModel


class Models(Database):
    """Which models there are, and which of them is searched with."""

    def model(self) -> StoredModel | None:
        with explained(self.file), self._values.reading() as (connection, cached):
            active = "SELECT id, name, fingerprint, dim FROM models WHERE active"
            row = cached.of(active, lambda: connection.execute(active).fetchone())
        return StoredModel(*row) if row else None

    def known_model(self, fingerprint: str) -> StoredModel | None:
        one = "SELECT id, name, fingerprint, dim FROM models WHERE fingerprint = ?"
        with explained(self.file), self._values.reading() as (connection, cached):
            row = cached.of((one, fingerprint), lambda: connection.execute(one, (fingerprint,)).fetchone())
        return StoredModel(*row) if row else None
