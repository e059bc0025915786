"""This machine's clock, for engines that run elsewhere: when it was put forward and back."""

from __future__ import annotations

import functools
import math
import os
import time
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from mmsearch.types import Ids

SLOT = 900  # seconds: no clock is changed but at a quarter of an hour
_STEP = 7 * 86_400  # seconds between looks at the clock
_LAST = 4_102_444_800  # seconds since 1970: the year 2100


@dataclass(frozen=True)
class LocalClock:
    """Offsets in seconds from UTC: the first up to the first bound, and so on; bounds are seconds since 1970."""

    bounds: tuple[int, ...]
    offsets: tuple[int, ...]


def local_clock() -> LocalClock:
    """That of this process, from 1970 to 2100."""
    return _clock(os.environ.get("TZ"), time.tzname, time.timezone)


@functools.lru_cache(8)
def _clock(*_zone: object) -> LocalClock:
    bounds, offsets = [], [_offset(0)]
    for start in range(0, _LAST, _STEP):
        after = start + _STEP
        if _offset(after) == offsets[-1]:
            continue
        before, after = start // SLOT, after // SLOT
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if _offset(middle * SLOT) == offsets[-1] else (before, middle)
        bounds.append(after * SLOT)
        offsets.append(_offset(start + _STEP))
    return LocalClock(tuple(bounds), tuple(offsets))


def _offset(seconds: int) -> int:
    """Seconds that the clock was ahead of UTC."""
    try:
        return round((datetime.fromtimestamp(seconds) - datetime(1970, 1, 1)).total_seconds()) - seconds
    except (OverflowError, ValueError, OSError):
        return 0


def nanoseconds(local: datetime) -> int:
    """Since 1970, of a moment on this machine's clock; the least or largest number there is where it is too far off."""
    try:
        seconds = local.replace(microsecond=0).timestamp()
    except (OverflowError, ValueError, OSError):
        seconds = math.inf if local.year > 1970 else -math.inf
    if abs(seconds) > 9.2e9:
        return int(np.iinfo(np.int64).max if seconds > 0 else np.iinfo(np.int64).min)
    return (int(seconds) * 1_000_000 + local.microsecond) * 1000


def on_this_clock(nanoseconds: Ids) -> Ids:
    """Microseconds since 1970 as this machine's clock showed them, its summer time of that day included."""
    microseconds = nanoseconds // 1000
    slots, of_slot = np.unique(microseconds // (SLOT * 1_000_000), return_inverse=True)
    offsets = np.zeros(len(slots), np.int64)
    for number, slot in enumerate((slots * SLOT).tolist()):
        try:
            offsets[number] = (datetime.fromtimestamp(slot) - datetime(1970, 1, 1)).total_seconds() - slot
        except (OverflowError, ValueError, OSError):
            continue  # too far off for any calendar
    return microseconds + offsets[of_slot] * 1_000_000
