"""Which files are of a cluster of the last map (``store/kept_map.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsearch.errors import QueryError
from mmsearch.query.model import AnyOf, Clustered, Condition
from mmsearch.store import kept_map
from mmsearch.store.kept_map import KeptMap
from mmsearch.store.sqlite.attribute_columns import Columns, Mask

LISTED = 12  # names of clusters in an error


class MapColumn(Columns):
    """The clusters of the map that was made with the model that is searched with."""

    def map_state(self, conditions: Sequence[Condition]) -> object:
        """What tells one map from another, where a condition asks for clusters; None where none does."""
        fits = [condition.fits for condition in conditions]
        each = [one for fit in fits for one in (fit.fits if isinstance(fit, AnyOf) else (fit,))]
        if not any(isinstance(one, Clustered) for one in each):
            return None
        self._map()
        return self._kept.map_read

    def clustered(self, asked: Clustered) -> Mask:
        """The files that show something of the clusters that are asked for.  Raises QueryError where there are none."""
        model, kept = self._map()
        if kept is None:
            raise QueryError("no map of this library has been made, so there are no clusters yet", code="no-map")
        numbers = kept.matching(asked.text)
        if not len(numbers):
            raise QueryError(f"the map has no cluster {asked.text!r}; {_listed(kept)}", code="no-cluster")
        contents, vectors = self.all_vectors(model)
        chosen = np.isin(vectors, kept.ids[np.isin(kept.of, numbers)])
        mask: Mask = np.isin(self.contents_of_files(), contents[chosen])
        return mask

    def _map(self) -> tuple[int, KeptMap | None]:
        """The model that is searched with, and its map, which is read again when it has changed."""
        query = "SELECT id, fingerprint, (SELECT value FROM properties WHERE name = 'generation'), "
        query += "(SELECT value FROM properties WHERE name = 'identity') FROM models WHERE active"
        row = self._connection.exec_driver_sql(query).fetchone()
        if row is None or self._kept.maps is None:
            return -1, None
        model, fingerprint, generation, identity = int(row[0]), str(row[1]), int(row[2]), str(row[3])
        file = kept_map.newest(self._kept.maps, identity, fingerprint, generation)
        state = None
        if file is not None:
            try:
                status = file.stat()
                state = (file.name, status.st_ino, status.st_mtime_ns, status.st_size)
            except FileNotFoundError:
                file = None
        if state != self._kept.map_read:
            self._kept.map = None if file is None else kept_map.read(file)
            self._kept.map_read = state
        return model, self._kept.map


def _listed(kept: KeptMap) -> str:
    shown = [f"{one.number} ({one.name})" for one in kept.clusters[:LISTED]]
    more = f" and {len(kept.clusters) - LISTED} more" if len(kept.clusters) > LISTED else ""
    return f"there are {', '.join(shown)}{more}; ask by number, or by words of the name"
