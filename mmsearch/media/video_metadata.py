"""What a film says of itself beside its pictures: when, where, with what, and in words.

QuickTime's own keys go first: they have the time with its zone.  ``creation_time`` is UTC.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, BinaryIO

from mmsearch.media.dates import parsed
from mmsearch.media.embedded_text import joined
from mmsearch.media.exif import camera_name
from mmsearch.media.maker_note import identifier
from mmsearch.media.metadata import Metadata
from mmsearch.media.said import Said, annotated, believed, one_line, place
from mmsearch.media.subtitles import MOST_CUES, Cue, tidied
from mmsearch.media.xmp import read_xmp

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from mmsearch.media.video_file import VideoFile

_APPLE = "com.apple.quicktime."
_LOCAL = (f"{_APPLE}creationdate",)
_UTC = ("creation_time",)
_RECORDED = ("date_recorded", "date_digitized", "date", "icrd", f"{_APPLE}year")  # Matroska, AVI; a day, or a year
_MAKES = (f"{_APPLE}make", "com.android.manufacturer", "make", "manufacturer")
_MODELS = (f"{_APPLE}model", "com.android.model", "model")
_PLACES = (f"{_APPLE}location.iso6709", "location", "location-eng", "com.android.location")
_TEXTS = (
    f"{_APPLE}title", "title", f"{_APPLE}displayname", f"{_APPLE}description", "description", "synopsis", "comment",
    f"{_APPLE}comment", "show", f"{_APPLE}album", f"{_APPLE}location.name",
)  # fmt: skip
_OF_SOUND = ("artist", "album", "album_artist", "composer", "performer")
_IDENTIFIERS = (f"{_APPLE}content.identifier",)
_KEYWORDS = (f"{_APPLE}keywords", "keywords", "genre")
_ISO_6709 = re.compile(r"([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)", re.ASCII)
_NOBODY = (1904, 1970)  # years in which clocks begin that nobody set
_NUMBERED = re.compile(r"(?:chapter|kapitel|chapitre)?[ _]*\d*", re.IGNORECASE)  # titles that programs give
_BRANDS = {"qt": "mov", "3gp": "3gp", "3g2": "3gp", "3ge": "3gp", "3gg": "3gp"}  # beginnings of brands
_FORMATS = {
    "avi": "avi", "mpegts": "mpegts", "mpeg": "mpeg", "mpegvideo": "mpeg", "m4v": "mpeg", "asf": "wmv", "ogg": "ogv",
    "flv": "flv",
}  # fmt: skip


def format_of(container: InputContainer, file: BinaryIO) -> str:
    """The name of the format in ``formats.FORMATS``, by the content."""
    names = container.format.name.split(",")
    if "mov" in names:
        brand = container.metadata.get("major_brand", "qt").strip().lower()
        return next((name for start, name in _BRANDS.items() if brand.startswith(start)), "mp4")
    if "matroska" in names:
        file.seek(0)
        return "webm" if b"webm" in file.read(64) else "mkv"
    return next((_FORMATS[name] for name in names if name in _FORMATS), names[0])


def read_film_metadata(container: InputContainer, stream: VideoStream) -> Metadata:
    """What the file says; what is missing, damaged or nonsense is None or empty.  Never raises."""
    return _read_metadata(_lower(stream.metadata) | _lower(container.metadata))


def read_sound_metadata(container: InputContainer, stream: AudioStream) -> Metadata:
    """The same of an audio file, with who made it and what it is part of.  Never raises."""
    return _read_metadata(_lower(stream.metadata) | _lower(container.metadata), (*_TEXTS, *_OF_SOUND))


def _read_metadata(tags: Mapping[str, str], names: Sequence[str] = _TEXTS) -> Metadata:
    packet = tags.get("xmp", "")
    xmp = read_xmp(packet.encode("utf-8", "replace")) if packet else Said()
    own = _own_said(tags, names)
    sources = (own, replace(xmp, digitized=xmp.digitized or own.digitized))
    texts = [*own.texts, *xmp.texts]
    return Metadata(believed(sources), annotated(sources), joined(texts, [*own.keywords, *xmp.keywords]))


def chapters_of(container: InputContainer, begin: float) -> list[Cue]:
    """Titles of chapters that somebody gave; times are in milliseconds from ``begin``, in seconds."""
    cues = []
    for chapter in container.chapters():
        base, title = chapter["time_base"], chapter["metadata"].get("title", "")
        if base is not None and not _NUMBERED.fullmatch(title.strip()):
            start, end = (1000 * (float(chapter[name] * base) - begin) for name in ("start", "end"))
            cues.append(Cue(max(0, round(start)), round(end), title))
    return cues


def said_inside(film: VideoFile, packets: Sequence[Packet[Any]]) -> list[Cue]:
    """Titles of chapters, and what the film's own subtitles say, whose ``packets`` these are.  Never raises."""
    cues = chapters_of(film.container, film.start)
    for packet in packets[:MOST_CUES]:
        begin = film.time_of(packet.pts)
        if begin is None:
            continue
        start = max(0, round(1000 * begin))
        end = start + round(1000 * float((packet.duration or 0) * packet.time_base))
        with contextlib.suppress(OSError, ValueError):  # damaged
            for line in packet.decode():
                dialogue = getattr(line, "dialogue", b"")
                cues.append(Cue(start, end, dialogue.decode("utf-8", "replace")))
    return tidied(cues)


def _lower(tags: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in tags.items() if isinstance(value, str)}


def _own_said(tags: Mapping[str, str], names: Sequence[str]) -> Said:
    latitude, longitude = place(*_place(_values(tags, _PLACES)))
    return Said(
        original=_date(_values(tags, _LOCAL)),
        digitized=_date(_values(tags, _UTC), utc=True) or _date(_values(tags, _RECORDED)),
        camera=camera_name(_line(_values(tags, _MAKES)), _line(_values(tags, _MODELS))),
        latitude=latitude,
        longitude=longitude,
        texts=tuple(_values(tags, names)),
        keywords=tuple(word for one in _values(tags, _KEYWORDS) for word in re.split("[;,]", one)),
        content_identifier=next(filter(None, map(identifier, _values(tags, _IDENTIFIERS))), None),
    )


def _values(tags: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [tags[name] for name in names if tags.get(name)]


def _line(values: Iterable[str]) -> str | None:
    return next((line for value in values if (line := one_line(value))), None)


def _date(values: Iterable[str], utc: bool = False) -> datetime | None:
    for value in values:
        date = parsed(value.strip(), part=True)
        if date is not None and not (date.year in _NOBODY and (date.month, date.day) == (1, 1)):
            return date.replace(tzinfo=timezone.utc) if utc and date.tzinfo is None else date
    return None


def _place(values: Iterable[str]) -> tuple[float | None, float | None]:
    """Of ISO 6709, "+48.8583+002.2945+035.0/": degrees, or degrees and minutes, or and seconds, run together."""
    for value in values:
        match = _ISO_6709.match(value.strip())
        if match is not None:
            return _degrees(match[1], 2), _degrees(match[2], 3)
    return None, None


def _degrees(text: str, digits: int) -> float:
    """``digits`` is how many of them are whole degrees."""
    sign, whole, fraction = text[0], *text[1:].partition(".")[::2]
    if len(whole) <= digits:
        value = float(text[1:])
    else:
        rest = whole[digits:]
        minutes = float(rest[:2] + (f".{fraction}" if len(rest) <= 2 else ""))
        seconds = float(f"{rest[2:] or 0}.{fraction or 0}") if len(rest) > 2 else 0.0
        value = int(whole[:digits]) + minutes / 60 + seconds / 3600
    return -value if sign == "-" else value
