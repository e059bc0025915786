"""The times of an audio file that have words: its parts, made of what is said or sung.

A film's parts are its pictures, and words come to them.  Sound has words alone, so these make the parts: what follows
within some seconds is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mmsearch.media.subtitles import LONGEST_PART

TOGETHER = 8_000  # ms from which on another part begins
MOST_PARTS = 480  # of a file, as of a film
_LONG = 4  # times as much: what lasts longer, such as lyrics without times, is a part by itself


class Told(NamedTuple):
    """Words, when they are said, and where they stand."""

    start_ms: int
    end_ms: int
    source: str  # "inside" the file, "beside" it, or "speech" that was heard in it
    text: str  # a line, or several


@dataclass
class SoundPart:
    """Some seconds of sound with their words."""

    start_ms: int
    end_ms: int
    lines: dict[str, list[str]] = field(default_factory=dict)  # by where they stand

    def words(self) -> dict[str, str]:
        """What is said, by where it stands; each line once."""
        return {source: "\n".join(dict.fromkeys(lines))[:LONGEST_PART] for source, lines in self.lines.items()}


def parts_of_sound(duration_ms: int, told: Iterable[Told]) -> list[SoundPart]:
    """The parts in the order of their times; one without words from beginning to end where nothing is told.

    Of parts that were made before, with what is told in them, the same ones come again.
    """
    step = max(TOGETHER, -(-duration_ms // MOST_PARTS))
    found: list[SoundPart] = []
    current: SoundPart | None = None
    long: dict[tuple[int, int], SoundPart] = {}
    for one in sorted(told, key=lambda one: one[:2]):
        part = current
        if one.end_ms - one.start_ms > _LONG * step:
            part = long.get(one[:2])
        elif current is not None and one.start_ms >= current.start_ms + step:
            part = None
        if part is None:
            part = SoundPart(one.start_ms, one.end_ms)
            found.append(part)
        if one.end_ms - one.start_ms > _LONG * step:
            long[one[:2]] = part
        else:
            current = part
            part.end_ms = max(part.end_ms, one.end_ms)
        part.lines.setdefault(one.source, []).extend(one.text.splitlines())
    return found or [SoundPart(0, max(0, duration_ms))]
