"""What is known of films, a column each, and where in them their moments are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmsearch.query.model import AnyOf, Condition, Fits
from mmsearch.store.moment_conditions import span
from mmsearch.store.sqlite.attribute_columns import Columns, Mask
from mmsearch.types import Ids


class FilmColumns(Columns):
    """Columns that only films have."""

    def of_film(self, attribute: str) -> NDArray[np.float64]:
        """Length in seconds, or frames a second, of each file; NaN where it is no film, or not known."""
        column = {"length": "duration_ms / 1000.0", "fps": "fps"}[attribute]
        return self._of_content(f"coalesce({column}, 'nan')", np.float64)

    def moments(self) -> NDArray[np.int64]:
        """The items that are moments, where they begin and where they end in milliseconds; (3, n)."""

        def load() -> NDArray[np.int64]:
            source = "items WHERE start_ms IS NOT NULL ORDER BY id"
            return np.stack([self._read(column, source, np.int64) for column in ("id", "start_ms", "end_ms")])

        return self._cached("times of moments", load)

    def elsewhere(self, model: int, conditions: Sequence[Condition]) -> Ids:
        """The ids of the vectors of moments that do not meet all these conditions, of the time in a film."""
        items, starts, ends = self.moments()
        meeting = np.ones(len(items), np.bool_)
        for condition in conditions:
            fitting = overlapping(condition.fits, starts, ends)
            meeting &= ~fitting if condition.exclude else fitting
        source = (
            f"embeddings JOIN items ON items.id = item_id WHERE model_id = {int(model)} AND start_ms IS NOT NULL "
            "ORDER BY item_id"
        )
        numbers = self._cached(("moments", model), lambda: self._read("embeddings.id", source, np.int64))
        owners = self._cached(("items of moments", model), lambda: self._read("item_id", source, np.int64))
        return numbers[np.isin(owners, items[~meeting])]


def overlapping(fits: Fits, starts: Ids, ends: Ids) -> Mask:
    """Which moments (n,), from ``starts`` to ``ends`` in milliseconds, have to do with the time that is asked for."""
    found = np.zeros(len(starts), np.bool_)
    for one in fits.fits if isinstance(fits, AnyOf) else (fits,):
        least, most = span(one)
        found |= (starts <= 1000 * most) & (np.maximum(ends, starts + 1) > 1000 * least)
    return found
