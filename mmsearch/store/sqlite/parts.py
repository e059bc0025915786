"""Contents that have several items: the moments of a film, the pages of a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmsearch.store.sqlite.connection import Database, explained
from mmsearch.store.types import StoredModel, StoredPart
from mmsearch.types import Ids

_SEVERAL = "SELECT EXISTS (SELECT 1 FROM items WHERE part > 0) OR EXISTS (SELECT 1 FROM contents WHERE width = 0)"
_PART = (
    "items.id, items.part, coalesce(embeddings.id, -1), items.start_ms, items.end_ms, items.at_ms, "
    "(SELECT group_concat(text, char(10)) FROM part_texts WHERE part_texts.item_id = items.id ORDER BY source)"
)
_WITH_VECTORS = "LEFT JOIN embeddings ON embeddings.item_id = items.id AND embeddings.model_id = ?"
_PARTS = f"""
SELECT own.id, {_PART} FROM json_each(?) CROSS JOIN embeddings AS own ON own.id = value
    CROSS JOIN items AS one ON one.id = own.item_id
    CROSS JOIN items ON items.content_id = one.content_id
    {_WITH_VECTORS}
WHERE (EXISTS (SELECT 1 FROM items AS other WHERE other.content_id = one.content_id AND other.part > 0)
        OR EXISTS (SELECT 1 FROM contents WHERE contents.id = one.content_id AND width = 0))
ORDER BY own.id, items.part
"""
_PARTS_OF = f"""
SELECT {_PART} FROM contents CROSS JOIN items ON items.content_id = contents.id {_WITH_VECTORS}
WHERE hash = ? ORDER BY items.part
"""
# The first that is there: which one was lost does not matter.
_FIRST = """(SELECT embeddings.id FROM items JOIN embeddings ON embeddings.item_id = items.id
    WHERE items.content_id = one.content_id AND embeddings.model_id = ? ORDER BY items.part LIMIT 1)"""
_FIRSTS = f"""
SELECT own.id, {_FIRST} FROM json_each(?) CROSS JOIN embeddings AS own ON own.id = value
    CROSS JOIN items AS one ON one.id = own.item_id
"""
_SOUNDS = """
SELECT embeddings.id FROM contents CROSS JOIN items ON items.content_id = contents.id
    CROSS JOIN embeddings ON embeddings.item_id = items.id AND embeddings.model_id = ?
WHERE contents.width = 0 ORDER BY embeddings.id
"""


class Parts(Database):
    """What is known of the items of contents that have several."""

    def parts(self, ids: Sequence[int], model: StoredModel) -> dict[int, list[StoredPart]]:
        if not self._several():
            return {}
        found: dict[int, list[StoredPart]] = {}
        with self._reading() as connection:
            asked = json.dumps([int(number) for number in ids])
            for number, *part in connection.exec_driver_sql(_PARTS, (asked, model.id)):
                found.setdefault(number, []).append(_part(part))
        return found

    def parts_of(self, content_hash: bytes, model: StoredModel) -> list[StoredPart]:
        with self._reading() as connection:
            rows = connection.exec_driver_sql(_PARTS_OF, (model.id, content_hash)).all()
        parts = [_part(row) for row in rows]
        return parts if len(parts) > 1 or any(part.start_ms is not None for part in parts) else []

    def firsts(self, ids: Ids, model: StoredModel) -> Ids | None:
        if not self._several():
            return None
        with self._reading() as connection:
            rows = connection.exec_driver_sql(_FIRSTS, (model.id, json.dumps(ids.tolist()))).all()
        known = {number: first for number, first in rows if first is not None}
        return np.array([known.get(number, -1) for number in ids.tolist()], np.int64)

    def without_vectors(self, model: StoredModel) -> Ids:
        with explained(self.file), self._values.reading() as (connection, cached):

            def read() -> Ids:
                rows = connection.execute(_SOUNDS, (model.id,)).fetchall()
                return np.array([row[0] for row in rows], np.int64)

            return cached.of(("sounds", model.id), read, lambda ids: ids.nbytes)

    def _several(self) -> bool:
        """Whether any content has several items, or is sound, whose one item is a time too."""
        with explained(self.file), self._values.reading() as (connection, cached):
            row = cached.of(_SEVERAL, lambda: connection.execute(_SEVERAL).fetchone())
        return bool(row[0])


def _part(row: Sequence[Any]) -> StoredPart:
    """A row of ``_PART``."""
    item, part, vector, start_ms, end_ms, at_ms, text = row
    return StoredPart(item, part, vector, start_ms, end_ms, at_ms, text or "")
