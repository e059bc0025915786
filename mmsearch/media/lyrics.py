"""The words of songs as audio files hold them: in tags, without times or with those of LRC, and in ID3's SYLT.

Tags are FFmpeg's: ``lyrics-eng`` of ID3's USLT, ``lyrics`` of MP4's ©lyr, ``LYRICS`` of Vorbis comments.  It leaves
out SYLT, so that frame is read here, as ID3v2.4.0 describes it (Nilsson, https://id3.org/id3v2.4.0-frames, 4.9).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from mmsearch.media.subtitles import MOST_CUES, Cue, plain, read_lrc, tidied

_TAGS = ("lyrics", "unsyncedlyrics", "unsynced lyrics", "syncedlyrics", "wm/lyrics", "wm/lyrics_synchronised")
_LARGEST = 16 * 2**20  # bytes of an ID3 tag: pictures are in it too
_MOST_FRAMES = 1000
_MILLISECONDS = 2  # the unit of times in a SYLT frame; the other one is frames of MPEG
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
_UNSYNCHRONISED, _EXTENDED = 0x80, 0x40  # flags of a tag


def tagged_lyrics(tags: Mapping[str, str]) -> Iterator[str]:
    """The lyrics among the tags of a file or stream, whatever language they say they are in."""
    for name, value in tags.items():
        folded = name.casefold()
        if isinstance(value, str) and (folded in _TAGS or folded.startswith("lyrics-")):
            yield value


def cues_of_lyrics(lyrics: str, duration_ms: int) -> list[Cue]:
    """Each line at its time, where there are times; else all of it from the beginning to the end."""
    lines = dict.fromkeys(filter(None, map(plain, lyrics.splitlines())))
    return read_lrc(lyrics) or [Cue(0, max(1, duration_ms), line) for line in list(lines)[:MOST_CUES]]


def synchronised(file: BinaryIO) -> list[Cue]:
    """What the SYLT frames of an ID3 tag at the beginning of a file say; none where there are none.  Never raises."""
    try:
        file.seek(0)
        return tidied(cue for frame in _frames(file) for cue in _sung(frame))
    except (OSError, ValueError, struct.error, IndexError):
        return []


def _frames(file: BinaryIO) -> Iterator[bytes]:
    """The SYLT frames of version 2.3 and 2.4 of the tag."""
    head = file.read(10)
    if len(head) < 10 or head[:3] != b"ID3" or head[3] not in (3, 4):
        return
    version, flags = head[3], head[5]
    body = file.read(min(_syncsafe(head[6:10]), _LARGEST))
    if flags & _UNSYNCHRONISED and version == 3:
        body = body.replace(b"\xff\0", b"\xff")
    start = 0
    if flags & _EXTENDED:
        start = _syncsafe(body[:4]) if version == 4 else 4 + struct.unpack(">I", body[:4])[0]
    for _ in range(_MOST_FRAMES):
        if start + 10 > len(body) or not body[start : start + 4].isalnum():
            return
        size = body[start + 4 : start + 8]
        length = _syncsafe(size) if version == 4 else struct.unpack(">I", size)[0]
        kind, how = body[start : start + 4], body[start + 9]
        if kind == b"SYLT" and not how & (0xE0 if version == 3 else 0x0D):  # not compressed, nor encrypted
            frame = body[start + 10 : start + 10 + length]
            yield frame.replace(b"\xff\0", b"\xff") if version == 4 and how & 2 else frame
        start += 10 + length


def _sung(frame: bytes) -> Iterator[Cue]:
    """Words and when they begin; each lasts to the next."""
    encoding, unit = frame[0], frame[4]
    if encoding >= len(_ENCODINGS) or unit != _MILLISECONDS:
        return
    wide = encoding in (1, 2)
    _, place = _text(frame, 6, encoding, wide)  # what the frame is about
    found: list[tuple[int, str]] = []
    while place < len(frame) and len(found) < MOST_CUES:
        words, place = _text(frame, place, encoding, wide)
        if place + 4 > len(frame):
            break
        found.append((struct.unpack_from(">I", frame, place)[0], words))
        place += 4
    for number, (start, words) in enumerate(found):
        yield Cue(start, found[number + 1][0] if number + 1 < len(found) else -1, words)


def _text(frame: bytes, place: int, encoding: int, wide: bool) -> tuple[str, int]:
    """The text at a place, and where the next thing begins."""
    end = place
    if wide:
        while frame[end : end + 2] not in (b"\0\0", b"", b"\0") and end + 1 < len(frame):
            end += 2
    else:
        found = frame.find(b"\0", place)
        end = len(frame) if found < 0 else found
    return frame[place:end].decode(_ENCODINGS[encoding], "replace"), end + (2 if wide else 1)


def _syncsafe(size: bytes) -> int:
    """Four bytes of seven bits each."""
    return size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]
