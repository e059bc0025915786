"""Which frames of a film are looked at: keyframes, what lies in long gaps between them, and cuts in there.

Keyframes stand alone and encoders set them where the picture changes, so most films need no others.  A gap of more than
two steps is decoded from the keyframe before it, once, forward; a frame is taken a step apart, and where a cut is.

What is spent is counted in frames and pixels, so that a film gives the same moments on every machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmsearch.media.video_file import Budget, OverBudgetError, VideoFile

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

LEAST_STEP, STEPS = 2.0, 400  # seconds between frames: two, or a 400th of a long film
MOST_FRAMES = 480  # of one film
KEY_PIXELS = 8e9  # of keyframes that are decoded of one film: 480 in 4K and more, 240 in 8K
GAP_PIXELS = 12e9  # of all frames in gaps: 13,000 of 720p, which is 9 minutes of 25 frames a second
_CLOSEST = 0.2  # of a step: keyframes that follow each other faster are passed over
_CUT = 24.0  # mean difference of brightness, of 255, from one frame to the next, that is a cut
_POINTS = 16  # a side of the grid on which that is looked at
_AHEAD = 0.004  # seconds; times are rounded

Take = Callable[["VideoFrame"], Any]  # what is kept of a frame; raises ValueError or OSError for one that is no use


@dataclass
class Frames:
    """The frames of a film that were taken, and what could not be."""

    taken: dict[float, Any] = field(default_factory=dict)  # seconds -> what is kept of that frame
    lost: list[float] = field(default_factory=list)  # seconds of keyframes that could not be decoded
    stopped: bool = False  # the budget was used up before the end of the film was seen

    def in_order(self) -> list[tuple[float, Any]]:
        """By time: keyframes of HEVC come out of order."""
        return sorted(self.taken.items())


def step_of(duration: float) -> float:
    """Seconds from one frame to the next, of a film as long as that."""
    return max(LEAST_STEP, duration / STEPS)


def look_through(film: VideoFile, take: Take, budget: Budget) -> Frames:
    """The frames of a film that show what is in it, never more than ``MOST_FRAMES``.

    ``take`` is what is kept of each.  Ends early, with what there is, where ``budget`` does.
    """
    found = Frames(stopped=True)
    with contextlib.suppress(OverBudgetError):
        _keyframes(film, take, budget, found)
        found.stopped = False
        _gaps(film, take, budget, found)
    return found


def _keyframes(film: VideoFile, take: Take, budget: Budget, found: Frames) -> None:
    film.skip("NONKEY")
    spacing = _spacing(film, film.duration or 0.0)
    last: float | None = None
    for packet in film.packets():
        time = film.time_of(packet.pts if packet.pts is not None else packet.dts)
        if time is None or not packet.size or not packet.is_keyframe:
            continue
        spacing = max(spacing, _spacing(film, film.end))  # nothing said that it is so long
        if last is not None and abs(time - last) < spacing - _AHEAD:
            continue
        budget.spend(film.pixels)
        frame = _alone(film, packet)
        if frame is None or not _kept(frame, time, take, found):
            found.lost.append(time)
        else:
            last = time
        if len(found.taken) > MOST_FRAMES:
            _thin(found, spacing)


def _spacing(film: VideoFile, duration: float) -> float:
    """Seconds that keyframes have to be apart to be looked at."""
    most = max(1.0, min(MOST_FRAMES, KEY_PIXELS / max(1, film.pixels)))
    return max(_CLOSEST * step_of(duration), duration / most)


def _alone(film: VideoFile, packet: Packet[Any]) -> VideoFrame | None:
    """The picture of a keyframe, decoded as if there were no others: none waits for what follows it."""
    frames = film.decode(packet) or film.decode(None)
    film.stream.codec_context.flush_buffers()
    return frames[0] if frames else None


def _kept(frame: VideoFrame, time: float, take: Take, found: Frames) -> bool:
    if frame.is_corrupt:
        return False
    try:
        found.taken[time] = take(frame)
    except (OSError, ValueError):
        return False
    return True


def _thin(found: Frames, spacing: float) -> None:
    """Leaves out of frames that came too many those that stand closest."""
    last = -spacing
    for time in sorted(found.taken):
        if time - last < spacing - _AHEAD:
            del found.taken[time]
        else:
            last = time


@dataclass(frozen=True)
class _Gap:
    """Where nothing was looked at: from a keyframe on, up to the next or the end."""

    start: float
    end: float
    wanted: int  # frames in between

    @property
    def length(self) -> float:
        return self.end - self.start


def _gaps(film: VideoFile, take: Take, budget: Budget, found: Frames) -> None:
    """Fills the gaps, the longest first, until the pixels for them are used up."""
    duration = max(film.end, film.duration or 0.0)
    step = step_of(duration)
    times = sorted(found.taken) or [0.0]
    gaps = [
        _Gap(start, end, int(np.ceil((end - start) / step)) - 1)
        for start, end in zip(times, [*times[1:], duration], strict=True)
        if end - start > 2 * step
    ]
    film.skip("NONREF")  # they are half of many films, and no other frame needs them
    left = GAP_PIXELS
    for gap in _longest_first(gaps, step):
        if left <= 0 or len(found.taken) >= MOST_FRAMES:
            break
        left -= _fill(film, gap, take, budget, found)


def _longest_first(gaps: list[_Gap], step: float) -> list[_Gap]:
    """Of those that are as long, one here and one there, so that no half of the film is left out."""
    bits = max(1, len(gaps).bit_length())
    spread = {gap: int(f"{number:0{bits}b}"[::-1], 2) for number, gap in enumerate(gaps)}
    return sorted(gaps, key=lambda gap: (-round(gap.length / step), spread[gap]))


def _fill(film: VideoFile, gap: _Gap, take: Take, budget: Budget, found: Frames) -> float:
    """Decodes a gap and returns how many pixels that took."""
    if not film.seek(gap.start):
        return 0.0
    step = gap.length / (gap.wanted + 1)
    spent, last, before = 0.0, gap.start, None
    for packet in film.packets():
        for frame in film.decode(packet if packet.size else None):
            time = film.time_of(frame.pts)
            budget.spend(film.pixels)
            spent += film.pixels
            if time is None or time < gap.start + _AHEAD:
                continue
            if time > gap.end - _CLOSEST * step or spent > GAP_PIXELS / 2:
                return spent
            now = _brightness(frame)
            cut = before is not None and now is not None and float(np.abs(now - before).mean()) > _CUT
            before = now
            due = last + step - _AHEAD <= time < gap.end - step / 2
            if due or (cut and time - last > _CLOSEST * step):
                if len(found.taken) >= MOST_FRAMES:
                    return spent
                if _kept(frame, time, take, found):
                    last = time
    return spent


def _brightness(frame: VideoFrame) -> NDArray[np.float32] | None:
    """Some points of the first plane of a frame, which is its brightness in almost all formats, from 0 to 255."""
    component = frame.format.components[0]
    if component.bits not in (8, 10, 12, 16) or not frame.planes:
        return None
    plane = frame.planes[0]
    dtype = np.uint8 if component.bits == 8 else np.uint16
    rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)[:, : plane.width]
    points = rows[:: max(1, plane.height // _POINTS), :: max(1, plane.width // _POINTS)]
    brightness: NDArray[np.float32] = points.astype(np.float32) * np.float32(255 / (2**component.bits - 1))
    return brightness
