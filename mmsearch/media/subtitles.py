"""Words with times: subtitles beside a film and inside it, and which moments they belong to.

SubRip, WebVTT, SubStation Alpha and LRC, the lyrics of songs, are read here, from text to cues: what is said from when
to when.  Their styles say nothing about what is said, so all of them are left out.
"""

from __future__ import annotations

import html
import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from mmsearch.media.formats import SOUND_SUFFIXES, VIDEO_SUFFIXES
from mmsearch.types import Part

SUBTITLE_SUFFIXES = frozenset((".srt", ".vtt", ".ass", ".ssa", ".lrc"))
LARGEST = 8 * 2**20  # bytes of a file; those of the longest films have 300 kB, with drawn signs in them some millions
MOST_CUES = 50_000
LONGEST_CUE = 1000  # characters
LONGEST_PART = 8000  # characters of all cues of a moment
_LATEST = 360_000_000  # ms; nobody makes films of more than a hundred hours
_SUNG_FOR = 15_000  # ms, at most, that a line of a song is taken to last
_SHOWN_FOR = 3000  # ms that a cue is shown whose end nobody says

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_FROM_TO = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}", re.ASCII)
_ASS_TIME = re.compile(r"\s*(\d{1,3}):(\d{1,2}):(\d{1,2})[.:](\d{1,3})\s*", re.ASCII)
_TAGS = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,2000}\}|\{[a-z]:[^{}]{0,50}\}", re.IGNORECASE)
_STAMP = re.compile(r"\s*\[(\d{1,3}):(\d{1,2})(?:[.:](\d{1,3}))?\]", re.ASCII)
_WORD_TIMES = re.compile(r"<\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?>", re.ASCII)
_OFFSET = re.compile(r"^\s*\[offset:\s*([+-]?\d{1,6})\s*\]", re.ASCII | re.IGNORECASE | re.MULTILINE)
_DRAWING = re.compile(r"\\p[1-9]")  # of SubStation Alpha: what follows is lines to be drawn, no words
_BREAKS = re.compile(r"\\[Nnh]")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][a-z0-9]{2,8})*", re.IGNORECASE)
_FLAGS = frozenset(("forced", "sdh", "cc", "hi", "default", "full", "auto", "orig", "signs", "commentary"))


class Cue(NamedTuple):
    """What is said, or written, for some time of a film."""

    start_ms: int
    end_ms: int
    text: str  # one line


def read_subtitles(content: bytes, suffix: str) -> list[Cue]:
    """The cues of a subtitle file in the order of their times; none where it is no such file.

    ``suffix`` is one of ``SUBTITLE_SUFFIXES``; ``content`` may be cut off, and is read up to ``LARGEST`` bytes.  Never
    raises.
    """
    text, suffix = decoded(content[:LARGEST]), suffix.lower()
    if suffix == ".lrc":
        return read_lrc(text)
    return tidied(_read_ass(text) if suffix in (".ass", ".ssa") else _read_timed(text))


def read_lrc(text: str) -> list[Cue]:
    """Lyrics with times: ``[01:23.45]words``, a line with several times where they are sung again.

    Each is sung until the next time, at most a quarter of a minute.  None where there are no times.  Never raises.
    """
    offset = _OFFSET.search(text)
    earlier = int(offset[1]) if offset else 0
    lines: list[tuple[int, str]] = []
    for line in text.splitlines():
        times, end = [], 0
        while (stamp := _STAMP.match(line, end)) is not None:
            times.append(_ms(None, stamp[1], stamp[2], stamp[3] or "0"))
            end = stamp.end()
        words = _WORD_TIMES.sub("", line[end:])
        lines += [(max(0, time - earlier), words) for time in times]
        if len(lines) > MOST_CUES:
            break
    lines.sort()
    ends = [*(time for time, _ in lines[1:]), -1][: len(lines)]
    return tidied(
        Cue(start, min(end, start + _SUNG_FOR), words) for (start, words), end in zip(lines, ends, strict=True)
    )


def decoded(content: bytes) -> str:
    """The text of a file whose encoding nobody says: UTF-16 and UTF-8 with or without a mark, else Windows-1252."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    head = content[:1000]
    if head and head.count(0) > len(head) / 4:  # Latin letters in UTF-16 without its mark
        return content.decode("utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= len(content) - 3:  # cut within a letter
            return content[: error.start].decode("utf-8-sig")
        return content.decode("cp1252", "replace")


def cues_in_parts(parts: Sequence[Part], cues: Sequence[Cue]) -> tuple[Part, ...]:
    """The parts of a film with the words that belong to them: a cue belongs to each part whose time it overlaps.

    What is said twice in one part, as in rolling captions, is in it once.  Parts keep what they said before.
    """
    starts = [cue.start_ms for cue in cues]
    longest = max((cue.end_ms - cue.start_ms for cue in cues), default=0)
    filled = []
    for part in parts:
        if part.start_ms is None or part.end_ms is None:
            filled.append(part)
            continue
        first, last = bisect_left(starts, part.start_ms - longest), bisect_right(starts, part.end_ms - 1)
        words = [cue.text for cue in cues[first:last] if cue.end_ms > part.start_ms]
        lines = list(dict.fromkeys([*part.text.splitlines(), *words]))
        filled.append(replace(part, text="\n".join(lines)[:LONGEST_PART]))
    return tuple(filled)


def subtitles_of(film: str, names: Iterable[str]) -> list[str]:
    """Which of the names in a film's folder are its subtitles, sorted.

    Of ``clip.mp4`` these are ``clip.srt``, ``clip.mp4.srt``, and both with a language and such before the suffix:
    ``clip.en.srt``, ``clip.pt-BR.forced.vtt``.  Capitals do not matter.
    """
    stems = {film.casefold(), os.path.splitext(film)[0].casefold()}
    found = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in SUBTITLE_SUFFIXES:
            continue
        stem = stem.casefold()
        while stem not in stems:
            shorter, dot, last = stem.rpartition(".")
            named = f".{last}" in SOUND_SUFFIXES | VIDEO_SUFFIXES  # a file called like it is another one
            if not dot or named or not (last in _FLAGS or _LANGUAGE.fullmatch(last)):
                break
            stem = shorter
        if stem in stems:
            found.append(name)
    return sorted(found)


def plain(text: str) -> str:
    """What is said in one line, without tags, styles and line breaks; empty where there is neither letter nor digit."""
    text = html.unescape(_TAGS.sub("", _BREAKS.sub(" ", text)))
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())[:LONGEST_CUE].rstrip()
    return line if any(char.isalnum() for char in line) else ""


def _read_timed(text: str) -> Iterable[Cue]:
    """SubRip and WebVTT: a line with two times, and the lines below it up to an empty one."""
    start = end = -1
    words: list[str] = []
    for line in [*text.splitlines(), ""]:
        times = _FROM_TO.match(line)
        if times is not None or not line.strip():
            if start >= 0 and words:
                yield Cue(start, end, " ".join(words))
            start, words = -1, []
        if times is not None:
            groups = times.groups()
            start, end = _ms(*groups[:4]), _ms(*groups[4:])
        elif start >= 0 and line.strip():
            words.append(line)


def _read_ass(text: str) -> Iterable[Cue]:
    """SubStation Alpha: a line an event, whose columns another line names."""
    columns = ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    events = False
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        kind = kind.strip().lower()
        if kind.startswith("["):
            events = kind == "[events]"
        elif events and kind == "format":
            columns = [name.strip().lower() for name in rest.split(",")]
        elif events and kind == "dialogue":
            values = dict(zip(columns, rest.split(",", len(columns) - 1), strict=False))
            start, end = _ASS_TIME.fullmatch(values.get("start", "")), _ASS_TIME.fullmatch(values.get("end", ""))
            said = values.get("text", "")
            if start is not None and end is not None and not _DRAWING.search(said):
                yield Cue(_ms(*start.groups()), _ms(*end.groups()), said)


def _ms(hours: str | None, minutes: str, seconds: str, fraction: str) -> int:
    """Milliseconds; digits behind the point are tenths, hundredths, thousandths."""
    return 1000 * (3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)) + int(fraction.ljust(3, "0"))


def tidied(cues: Iterable[Cue]) -> list[Cue]:
    """Cues with words and possible times, in order, their texts plain; each once, at most ``MOST_CUES``."""
    found: list[Cue] = []
    for cue in cues:
        text = plain(cue.text)
        if text and 0 <= cue.start_ms < _LATEST:
            end = cue.end_ms if cue.start_ms < cue.end_ms < _LATEST else cue.start_ms + _SHOWN_FOR
            found.append(Cue(cue.start_ms, end, text))
            if len(found) >= MOST_CUES:
                break
    return sorted(set(found))
