"""Films: the moments that show what is in them, and one frame of any moment.

A moment is a frame and the time from it to the next one.  It is prepared as a photo is.  What looks the same as the
moment before belongs to that; which moments mean the same is not known here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.media import memory_budget
from mmsearch.media.decode import FILM, IN_FLIGHT, prepare
from mmsearch.media.film_time import clock
from mmsearch.media.kept_frames import NOTHING, FrameFile, KeptParts
from mmsearch.media.subtitles import cues_in_parts
from mmsearch.media.video_file import Budget, OverBudgetError, VideoFile, open_video
from mmsearch.media.video_frames import look_through
from mmsearch.media.video_metadata import format_of, read_film_metadata, said_inside
from mmsearch.media.video_picture import Shape, picture_of
from mmsearch.types import Decoded, Film, Part, Pixels, Preprocess

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SECONDS = 60.0  # of computing, a film; half of what the worker pool gives it, on a machine that does other things too
_FRAME_SECONDS = 30.0  # of computing, one frame: of 4K with a keyframe every 20 seconds
_PIXELS = 40e9  # a film, decoded: 19,000 frames of 1080p; video_frames has finer limits
_SAME = 3.0  # mean difference, of 255, of 16 x 16 dots: below that everywhere two frames show the same
_SHOWS = 12.0  # standard deviation of its grey from which a frame shows something, as in animation.py
_INTRO = 0.1  # of a film: what it begins with shows it less well than what comes then
_FIRST = 1.0  # seconds: a film whose first frame is this late begins with it
_FURTHER_BACK = 10.0  # seconds
_TAIL = 1.0  # seconds that may lack at the end: sound is often a little longer


@dataclass(frozen=True)
class _Moment:
    """What is kept of a frame."""

    number: int  # of its pixels in the FrameFile
    size: tuple[int, int]  # of the upright original
    shows: float  # standard deviation of its grey


def decode_video(
    file: BinaryIO,
    path: str,
    preprocess: Preprocess,
    max_megapixels: float = 200.0,
    in_flight: memory_budget.Budget = IN_FLIGHT,
) -> Decoded:
    """The film in ``file``, which is open and seekable; ``path`` names it in errors.

    ``parts`` are its moments in order, each from its frame to the next one; ``pixels`` is the one that shows the film
    best, (size, size, 3) uint8.  What could not be read is in ``damage``.  Waits until there is room ``in_flight``.
    Raises ImageError where no frame can be read.
    """
    with in_flight.share(FILM), open_video(file, path, max_megapixels) as film:
        shape, frames = _shape(film), FrameFile()
        longest = preprocess.resize_mode == "longest"

        def take(frame: VideoFrame) -> _Moment:
            # As of large JPEGs: twice the pixels that the resize will leave are enough for it to average over.
            picture = picture_of(frame, shape, 2 * preprocess.size, longest)
            pixels = prepare(picture, preprocess)
            return _Moment(frames.put(pixels), shape.size(frame), _variety(pixels))

        def leave(moment: _Moment) -> None:
            frames.drop(moment.number)

        budget = Budget(SECONDS, _PIXELS)
        found = look_through(film, take, budget, leave)
        moments: list[tuple[float, _Moment]] = found.in_order()
        if not moments:
            raise ImageError(path, "no frame of it can be decoded: it is damaged, or the codec is one FFmpeg lacks")
        duration = max(film.end, moments[-1][0])
        lost = found.lost_spans(film.end)
        parts, numbers, shows = _parts(moments, duration, lost, frames)
        said = read_film_metadata(film.container, film.stream)
        rate = film.stream.average_rate or film.stream.guessed_rate
        width, height = moments[0][1].size
        return Decoded(
            pixels=frames.get(numbers[_best(parts, shows, duration)]),
            width=width,
            height=height,
            format=format_of(film.container, file),
            exif=said.exif,
            description=said.description,
            annotations=said.annotations,
            damage=_damage(film, lost, found.stopped),
            parts=KeptParts(frames, cues_in_parts(parts, said_inside(film, found.words)), numbers),
            film=Film(
                duration_ms=round(1000 * duration),
                fps=round(float(rate), 3) if rate else None,
                codec=film.codec,
                audio=bool(film.container.streams.audio),
            ),
        )


def upright_frame(
    file: BinaryIO, path: str, at_ms: int | None, side: int, max_megapixels: float = 200.0, enlarge: bool = False
) -> Image.Image:
    """What a film shows ``at_ms`` milliseconds after its start, upright in RGB, its longer side scaled to ``side``.

    To the frame, where the file can be decoded from the keyframe before it; else the nearest one before.  A frame is
    shown until the next one, and the last one for ever.  Without ``at_ms`` it is a frame that shows something.  Without
    ``enlarge`` no frame becomes larger than it is.  Raises ImageError where there is none.
    """
    with open_video(file, path, max_megapixels) as film:
        shape = _shape(film)
        budget = Budget(_FRAME_SECONDS, _PIXELS)
        frame = _shown_frame(film, budget) if at_ms is None else _frame_at(film, at_ms / 1000, budget)
        if frame is None:
            raise ImageError(path, "no frame of it can be decoded there: it is damaged, or that long it is not")
        try:
            image = picture_of(frame, shape, side, longer=True)
        except (OSError, ValueError) as error:
            raise ImageError(path, "its pixels are in a format that FFmpeg cannot convert") from error
    scale = side / max(image.size)
    if scale == 1 or (scale > 1 and not enlarge):
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def _shape(film: VideoFile) -> Shape:
    """With dots that can be, else square ones."""
    aspect = float(film.stream.sample_aspect_ratio or 1)
    return Shape(aspect if 0.2 <= aspect <= 5 else 1.0)


def _frame_at(film: VideoFile, seconds: float, budget: Budget) -> VideoFrame | None:
    """The last whole frame whose time is not after ``seconds``; where there is none, the first one that there is."""
    first: VideoFrame | None = None
    for earlier in (
        0.0,
        _FURTHER_BACK,
        seconds,
    ):  # where the keyframe before is damaged, or was missed: from further back
        best: VideoFrame | None = None
        if not film.seek(max(0.0, seconds - earlier)):
            continue
        with contextlib.suppress(OverBudgetError):
            for time, frame, whole in film.frames(budget):
                if time > seconds + 0.0005:
                    first = first or (frame if whole else None)
                    break
                best = frame if whole else best
        if best is not None:
            return best
    return first


def _shown_frame(film: VideoFile, budget: Budget) -> VideoFrame | None:
    """A keyframe that shows something, as near behind the intro as there is one."""
    film.skip("NONKEY")
    best, most, shape = None, -1.0, Shape(1.0)
    film.seek(_INTRO * (film.duration or 0.0))
    with contextlib.suppress(OverBudgetError, OSError, ValueError):
        for _, frame, _ in film.frames(budget):
            shows = _variety(np.asarray(picture_of(frame, shape, 64)))
            if shows > most:
                best, most = frame, shows
            if most >= _SHOWS:
                break
    return best or _frame_at(film, 0.0, budget)


def _variety(pixels: Pixels) -> float:
    return float(np.asarray(Image.fromarray(pixels).convert("L")).std())


def _parts(
    moments: Sequence[tuple[float, _Moment]],
    duration: float,
    lost: Sequence[tuple[float, float]],
    frames: FrameFile,
) -> tuple[list[Part], list[int], list[float]]:
    """Each moment up to the next one, or to what is ``lost``, without its pixels; their numbers; how much it shows.

    Moments that look the same as the one before become one with it.
    """
    parts: list[Part] = []
    numbers: list[int] = []
    shows: list[float] = []
    last: Pixels = NOTHING
    for number, (time, moment) in enumerate(moments):
        end = moments[number + 1][0] if number + 1 < len(moments) else duration
        end = next((start for start, _ in lost if time < start < end), end)
        start = 0.0 if not number and time < _FIRST and not any(start < time for start, _ in lost) else time
        pixels = frames.get(moment.number)
        if parts and parts[-1].end_ms == round(1000 * start) and _look_the_same(last, pixels):
            parts[-1] = replace(parts[-1], end_ms=round(1000 * end))
            frames.drop(moment.number)
            continue
        parts.append(Part(NOTHING, round(1000 * start), round(1000 * end), round(1000 * time)))
        numbers.append(moment.number)
        shows.append(moment.shows)
        last = pixels
    return parts, numbers, shows


def _look_the_same(left: Pixels, right: Pixels) -> bool:
    """Whether two frames differ by no more than what compression does: a line of text more is a difference."""
    difference = np.abs(left.astype(np.int16) - right).mean(axis=2)
    side = difference.shape[0] // 16 * 16
    if not side:
        return float(difference.mean()) < _SAME
    blocks = difference[:side, :side].reshape(side // 16, 16, side // 16, 16).mean(axis=(1, 3))
    return float(blocks.max()) < _SAME


def _best(parts: Sequence[Part], shows: Sequence[float], duration: float) -> int:
    """The first part behind the intro that shows something; else the one that shows most."""
    showing = [number for number, value in enumerate(shows) if value >= _SHOWS]
    later = [number for number in showing if (parts[number].end_ms or 0) > _INTRO * 1000 * duration]
    return next(iter(later or showing), max(range(len(parts)), key=lambda number: shows[number]))


def _damage(film: VideoFile, lost: Sequence[tuple[float, float]], stopped: bool) -> str | None:
    """What could not be read, in words."""
    said = []
    end = max(film.end, film.duration or 0.0)
    if not stopped and end - max(film.end, film.last) > _TAIL:
        lost = [*lost, (film.end, end)]
    if len(lost) > 1 and lost[-2][1] >= lost[-1][0]:
        lost = [*lost[:-2], (lost[-2][0], lost[-1][1])]
    last = lost and not stopped and lost[-1][1] >= end
    lost, missing = (lost[:-1], lost[-1]) if last else (lost, None)
    if lost:
        seconds = sum(end - start for start, end in lost)
        where = f"from {clock(1000 * lost[0][0] + 50)} on" if len(lost) == 1 else f"in {len(lost)} places"
        said.append(f"{seconds_in_words(seconds)} {where} could not be read")
    if missing is not None:
        said.append(f"the last {seconds_in_words(missing[1] - missing[0])} could not be read")
    elif stopped:
        said.append(f"what comes after {clock(1000 * film.end + 50)} was not looked at: it takes too long")
    elif film.cut:
        said.append("the end of the file is missing")
    return " and ".join(said) or None


def seconds_in_words(seconds: float) -> str:
    """ "12 s", "3 min"."""
    return f"{max(1, round(seconds))} s" if seconds < 119.5 else f"{round(seconds / 60)} min"
