"""Audio files: their length, what they say of themselves, and the words in their tags.  The sound is not decoded."""

from __future__ import annotations

from typing import Any, BinaryIO, NoReturn

import numpy as np

from mmsearch.errors import ImageError
from mmsearch.media import memory_budget
from mmsearch.media.formats import SOUND_FORMATS, needs_extra
from mmsearch.media.kinds import NO_PICTURE
from mmsearch.media.lyrics import cues_of_lyrics, synchronised, tagged_lyrics
from mmsearch.media.sound_parts import Told, parts_of_sound
from mmsearch.media.subtitles import Cue
from mmsearch.media.video_file import SOUND_DEMUXERS, is_still, open_container
from mmsearch.media.video_metadata import chapters_of, read_sound_metadata
from mmsearch.types import Decoded, Film, Part, Pixels, Preprocess

INSIDE = "inside"  # where words stand that are in the file
NO_PIXELS: Pixels = np.zeros((0, 0, 3), np.uint8)
_DEMUXED = {"mp3": "mp3", "mov": "m4a", "aac": "m4a", "flac": "flac", "ogg": "ogg", "wav": "wav", "w64": "wav",
            "aiff": "aiff", "asf": "wma", "matroska": "mka", "webm": "mka"}  # fmt: skip


def decode_sound(
    file: BinaryIO,
    path: str,
    preprocess: Preprocess,
    max_megapixels: float = 200.0,
    in_flight: memory_budget.Budget | None = None,
) -> Decoded:
    """The audio file in ``file``, which is open and seekable; ``path`` names it in errors.

    ``parts`` are the times that have words in its tags, or one from its beginning to its end without any; there are no
    pixels, so the other arguments of readers are not looked at.  Raises ImageError for what is no sound.
    """
    try:
        import av
    except ImportError as error:
        raise ImageError(path, needs_extra("sound"), retry=True) from error
    file.seek(0)
    if not file.read(1):
        raise ImageError(path, "the file is empty")
    file.seek(0)
    try:
        container = open_container(av, file, SOUND_DEMUXERS)
    except Exception as error:  # FFmpeg has a score of kinds of errors
        if isinstance(error, OSError) and type(error) is OSError:  # of the file, not of FFmpeg
            raise ImageError(path, f"cannot be read: {error.strerror or error}") from error
        raise ImageError(path, "not sound that can be read: it is damaged, or something else") from error
    with container:
        streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
        if any(not is_still(stream) for stream in container.streams.video):
            raise ImageError(
                path, "there are moving pictures in it: give it the suffix of a film, such as .mp4 or .ogv"
            )
        if not streams:
            raise ImageError(path, "there is no sound in it that FFmpeg knows")
        stream, begin = streams[0], (container.start_time or 0) / 1e6
        duration_ms = _duration_ms(container, stream)
        cues = chapters_of(container, begin)
        for tags in (container.metadata, stream.metadata):
            cues += [cue for lyrics in tagged_lyrics(tags) for cue in cues_of_lyrics(lyrics, duration_ms)]
        if container.format.name == "mp3":
            cues += synchronised(file)
        said = read_sound_metadata(container, stream)
        names = container.format.name.split(",")
        film = Film(duration_ms, codec=stream.codec_context.codec.canonical_name, audio=True)
    return Decoded(
        pixels=NO_PIXELS,
        width=0,
        height=0,
        format=next((_DEMUXED[name] for name in names if name in _DEMUXED), SOUND_FORMATS[0].name),
        exif=said.exif,
        description=said.description,
        annotations=said.annotations,
        parts=_parts(duration_ms, cues),
        film=film,
    )


def no_picture(
    file: BinaryIO, path: str, at_ms: int | None, side: int, max_megapixels: float = 200.0, enlarge: bool = False
) -> NoReturn:
    """Raises ImageError: of sound nothing can be shown."""
    raise ImageError(path, NO_PICTURE)


def _duration_ms(container: Any, stream: Any) -> int:
    if container.duration is not None and container.duration > 0:
        return int(container.duration // 1000)
    if stream.duration and stream.time_base:
        return max(0, round(1000 * float(stream.duration * stream.time_base)))
    return 0


def _is_timed(cue: Cue, duration_ms: int) -> bool:
    return cue.start_ms > 0 or cue.end_ms < duration_ms


def _parts(duration_ms: int, cues: list[Cue]) -> tuple[Part, ...]:
    """Timed lyrics go before the same ones without times."""
    known = {cue.text for cue in cues if _is_timed(cue, duration_ms)}
    told = [Told(*cue[:2], INSIDE, cue.text) for cue in cues if _is_timed(cue, duration_ms) or cue.text not in known]
    found = parts_of_sound(duration_ms, told)
    return tuple(Part(NO_PIXELS, one.start_ms, one.end_ms, one.start_ms, one.words().get(INSIDE, "")) for one in found)
