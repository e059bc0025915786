"""Times in a film, as people read them."""

from __future__ import annotations


def clock(milliseconds: float) -> str:
    """A time in a film, to the second that has begun: "1:23", "1:02:03"."""
    minutes, seconds = divmod(int(milliseconds) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
