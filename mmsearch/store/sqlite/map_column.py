"""Which files are of a cluster of the last map (``store/kept_map.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsearch.query.model import AnyOf, Clustered, Condition
from mmsearch.store.kept_map import KeptMap, vectors_in
from mmsearch.store.sqlite.attribute_columns import Columns, Mask


class MapColumn(Columns):
    """The clusters of the map that was made with the model that is searched with."""

    def map_state(self, conditions: Sequence[Condition]) -> object:
        """What tells one map from another, where a condition asks for clusters; None where none does."""
        fits = [condition.fits for condition in conditions]
        each = [one for fit in fits for one in (fit.fits if isinstance(fit, AnyOf) else (fit,))]
        if self._kept.last_map is None or not any(isinstance(one, Clustered) for one in each):
            return None
        self._map()
        return self._kept.last_map.state

    def clustered(self, asked: Clustered) -> Mask:
        """The files that show something of the clusters that are asked for.  Raises QueryError where there are none."""
        model, kept = self._map()
        found = vectors_in(kept, asked.text)
        contents, vectors = self.all_vectors(model)
        mask: Mask = np.isin(self.contents_of_files(), contents[np.isin(vectors, found)])
        return mask

    def _map(self) -> tuple[int, KeptMap | None]:
        """The model that is searched with, and its map, which is read again when it has changed."""
        query = "SELECT id, fingerprint, (SELECT value FROM properties WHERE name = 'generation'), "
        query += "(SELECT value FROM properties WHERE name = 'identity') FROM models WHERE active"
        row = self._connection.exec_driver_sql(query).fetchone()
        if row is None or self._kept.last_map is None:
            return -1, None
        return int(row[0]), self._kept.last_map.of(str(row[3]), str(row[1]), int(row[2]))
