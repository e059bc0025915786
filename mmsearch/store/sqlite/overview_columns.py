"""When files were taken and where, for all that meet conditions at once."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from mmsearch.store.sqlite.attribute_columns import MOMENTS, UNKNOWN, Columns, Mask
from mmsearch.store.types import Overview
from mmsearch.types import Ids

_SLOT = 900  # seconds: no clock is changed but at a quarter of an hour


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
            moments[unknown] = _on_this_clock(self._of_file("mtime_ns", np.int64)[unknown])
            return moments

        return self._cached(MOMENTS, load)


def _on_this_clock(nanoseconds: Ids) -> Ids:
    """Microseconds since 1970 as this machine's clock showed them, its summer time of that day included."""
    microseconds = nanoseconds // 1000
    slots, of_slot = np.unique(microseconds // (_SLOT * 1_000_000), return_inverse=True)
    offsets = np.zeros(len(slots), np.int64)
    for number, slot in enumerate((slots * _SLOT).tolist()):
        try:
            offsets[number] = (datetime.fromtimestamp(slot) - datetime(1970, 1, 1)).total_seconds() - slot
        except (OverflowError, ValueError, OSError):
            continue  # too far off for any calendar
    return microseconds + offsets[of_slot] * 1_000_000
