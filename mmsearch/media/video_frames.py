"""Which frames of a film are looked at: keyframes, what lies in long gaps between them, and cuts in there.

Keyframes stand alone and encoders set them where the picture changes, so most films need no others.  A gap of more than
two steps is decoded from the keyframe before it, once, forward; frames a step apart are taken, and those at cuts.  A
shorter one is where a frame in it is as large as a keyframe: there the picture has changed.

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
_DENSE, _IN_A_ROW = 0.45, 3  # of a step; where so many come faster, none of them tells of a cut, and fewer are enough
_CUT = 24.0  # mean difference of brightness, of 255, from one frame to the next, that is a cut
_LARGE, _SOON = 0.6, 0.5  # of the keyframe before, that a frame is as large as; seconds from the last such one
_MOST_CUTS = 8  # in one gap
_AFTER = 0.15  # seconds from the frame before that a cut is looked at
_POINTS = 16  # a side of the grid on which that is looked at
_AHEAD = 0.004  # seconds; times are rounded

Take = Callable[["VideoFrame"], Any]  # what is kept of a frame; raises ValueError or OSError for one that is no use
Leave = Callable[[Any], None]


@dataclass
class Frames:
    """The frames of a film that were taken, and what could not be."""

    taken: dict[float, Any] = field(default_factory=dict)  # seconds -> what is kept of that frame
    lost: list[tuple[float, float]] = field(default_factory=list)  # seconds from, to; of a keyframe both are its time
    words: list[Packet[Any]] = field(default_factory=list)  # of subtitles
    stopped: bool = False  # the budget was used up before the end of the film was seen
    leave: Leave = lambda _: None  # is told what is left out of ``taken``

    def in_order(self) -> list[tuple[float, Any]]:
        """By time: keyframes of HEVC come out of order."""
        return sorted(self.taken.items())

    def lost_spans(self, end: float) -> list[tuple[float, float]]:
        """Where nothing could be read, in order: from there to the next frame, or to the ``end`` of the film."""
        times, spans = sorted(self.taken), list[tuple[float, float]]()
        for start, stop in sorted(self.lost):
            stop = max(stop, next((time for time in times if time > start), end))
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
            elif stop > start:
                spans.append((start, stop))
        return spans


def step_of(duration: float) -> float:
    """Seconds from one frame to the next, of a film as long as that."""
    return max(LEAST_STEP, duration / STEPS)


def look_through(film: VideoFile, take: Take, budget: Budget, leave: Leave = lambda _: None) -> Frames:
    """The frames of a film that show what is in it, never more than ``MOST_FRAMES``.

    ``take`` is what is kept of each; ``leave`` is told where that is not wanted after all.  Ends early, with what there
    is, where ``budget`` does.
    """
    found = Frames(stopped=True, leave=leave)
    with contextlib.suppress(OverBudgetError):
        large = _keyframes(film, take, budget, found)
        found.stopped = False
        film.skip("NONREF")  # they are half of many films, and no other frame needs them
        left = GAP_PIXELS
        for gap in _gaps_of(film, found, large):
            if left <= 0 or len(found.taken) >= MOST_FRAMES:
                break
            left -= _fill(film, gap, take, budget, found)
    return found


def _keyframes(film: VideoFile, take: Take, budget: Budget, found: Frames) -> list[float]:
    """Looks at the keyframes; returns seconds of other frames that are as large as one: most often they are cuts."""
    film.skip("NONKEY")
    spacing = _spacing(film, film.duration or 0.0)
    last, size = -spacing, 0
    before, dense = -spacing, 0  # seconds of the keyframe before, and how many in a row came close to each other
    large: list[float] = []
    for packet in film.packets(found.lost, found.words):
        budget.pass_over()
        time = film.time_of(packet.pts if packet.pts is not None else packet.dts)
        if time is None or not packet.size or packet.is_discard:
            continue
        if not packet.is_keyframe:
            if packet.size > _LARGE * size and time - last > _SOON and (not large or time - large[-1] > _SOON):
                large.append(time)
            continue
        spacing, size = max(spacing, _spacing(film, film.end)), packet.size  # nothing said that it is so long
        dense = dense + 1 if time - before < _DENSE * step_of(film.end) else 0
        before = time
        regular = _DENSE * step_of(film.end) if dense > _IN_A_ROW else 0.0
        if abs(time - last) < max(spacing, regular) - _AHEAD:
            continue
        budget.spend(film.pixels)
        frame = _alone(film, packet)
        if frame is None or not _kept(frame, time, take, found):
            found.lost.append((time, time))
        else:
            last = time
        if len(found.taken) > MOST_FRAMES:
            _thin(found, spacing)
    return large


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
        kept = take(frame)
    except (OSError, ValueError):
        return False
    if time in found.taken:
        found.leave(found.taken[time])
    found.taken[time] = kept
    return True


def _thin(found: Frames, spacing: float) -> None:
    """Leaves out of frames that came too many those that stand closest."""
    last = -spacing
    for time in sorted(found.taken):
        if time - last < spacing - _AHEAD:
            found.leave(found.taken.pop(time))
        else:
            last = time


@dataclass(frozen=True)
class _Gap:
    """Where nothing was looked at: from a keyframe on, up to the next or the end."""

    start: float  # seconds
    end: float
    wanted: tuple[float, ...]  # seconds of what is to be looked at
    until: float  # seconds; cuts are looked for up to here
    seen: bool = True  # whether its first frame was looked at


def _gaps_of(film: VideoFile, found: Frames, large: list[float]) -> list[_Gap]:
    """Those of more than two steps, to be looked at a step apart, and those with a frame as large as a keyframe."""
    duration = max(film.end, film.duration or 0.0)
    step = step_of(duration)
    times = sorted(found.taken) or [0.0]
    gaps = []
    if found.taken and times[0] > _SOON:  # a film that was cut begins between two keyframes
        early = tuple(np.arange(0.0, times[0] - _SOON, step))
        gaps.append(_Gap(0.0, times[0], early, times[0] - _SOON, seen=False))
    for start, end in zip(times, [*times[1:], duration], strict=True):
        cuts = [time for time in large if start + _SOON < time < end - _SOON][:_MOST_CUTS]
        pieces = int(np.ceil((end - start) / step)) if end - start > 2 * step else 1
        wanted = [start + (end - start) * piece / pieces for piece in range(1, pieces)]
        if wanted or cuts:
            until = end - _SOON if wanted else cuts[-1]
            gaps.append(_Gap(start, end, tuple(sorted([*wanted, *cuts])), until))
    return _longest_first(gaps, step)


def _longest_first(gaps: list[_Gap], step: float) -> list[_Gap]:
    """Of those that are as long, one here and one there, so that no half of the film is left out."""
    bits = max(1, len(gaps).bit_length())
    spread = {gap: int(f"{number:0{bits}b}"[::-1], 2) for number, gap in enumerate(gaps)}
    return sorted(gaps, key=lambda gap: (-round((gap.end - gap.start) / step), spread[gap]))


def _fill(film: VideoFile, gap: _Gap, take: Take, budget: Budget, found: Frames) -> float:
    """Decodes a gap and returns how many pixels that took.

    What is wanted is what is shown at a time: a frame is shown until the next one.  A cut counts as wanted too.
    """
    if not film.seek(gap.start):
        return 0.0
    wanted, cuts, spent = list(gap.wanted), 0, 0.0
    last = gap.start if gap.seen else -1.0  # seconds of the frame that was taken last
    held: tuple[float, VideoFrame] | None = None
    before: NDArray[np.float32] | None = None
    for time, frame, whole in film.frames(budget):
        spent += film.pixels
        if time < gap.start - _AHEAD or not whole:
            continue
        now = _brightness(frame)
        cut = before is not None and now is not None and float(np.abs(now - before).mean()) > _CUT
        before = now
        due = bool(wanted) and time > wanted[0] + _AHEAD
        while wanted and time > wanted[0] + _AHEAD:
            wanted.pop(0)
        if due and held is not None and held[0] > last + _AHEAD and _kept(held[1], held[0], take, found):
            last = held[0]
        if time > gap.end - _AHEAD:
            return spent
        if due and held is None and not gap.seen and _kept(frame, time, take, found):
            last = time
        held = (time, frame)
        if cut and time - last > _AFTER and cuts < _MOST_CUTS and _kept(frame, time, take, found):
            last, cuts = time, cuts + 1
        enough = len(found.taken) >= MOST_FRAMES or spent > GAP_PIXELS / 2
        if enough or (not wanted and time > gap.until):
            return spent
    if wanted and held is not None and held[0] > last + _AHEAD:
        _kept(held[1], held[0], take, found)
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
