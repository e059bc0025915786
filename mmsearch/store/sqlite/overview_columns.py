"""When files were taken and where, for all that meet conditions at once."""

from __future__ import annotations

import numpy as np

from mmsearch.store.local_clock import on_this_clock
from mmsearch.store.sqlite.attribute_columns import MOMENTS, UNKNOWN, Columns, Mask
from mmsearch.store.types import Overview
from mmsearch.types import Ids


class OverviewColumns(Columns):
    """A column of moments and two of places."""

    def overview(self, mask: Mask) -> Overview:
        """Of the files that the mask keeps."""
        places = np.stack([self.degrees("latitude")[mask], self.degrees("longitude")[mask]], axis=1)
        return Overview(self.photos[mask], self._moments()[mask], places)

    def _moments(self) -> Ids:
        """When each file was taken, or else written."""

        def load() -> Ids:
            moments = self.taken().copy()
            unknown = moments == UNKNOWN
            moments[unknown] = on_this_clock(self._of_file("mtime_ns", np.int64)[unknown])
            return moments

        return self._cached(MOMENTS, load)
