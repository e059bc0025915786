"""Films out of sample photos, made with PyAV: what is shown when is known to the frame."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from mmsearch.types import Pixels

SIZE = (160, 120)
RATE = 12  # frames a second
SECONDS = 2.0  # that each picture is shown

_MUXERS = {
    "mkv": "matroska",
    "mts": "mpegts",
    "m2ts": "mpegts",
    "wmv": "asf",
    "mpg": "mpeg",
    "ogv": "ogg",
    "m4v": "mp4",
}
TESTED = (  # what cameras and programs write most
    "h264 mp4", "h264 mov", "h264 mkv", "h264 mts", "hevc mp4", "vp9 webm", "av1 mp4", "prores mov", "mpeg4 avi",
)  # fmt: skip
CODECS = {  # codec as people call it -> encoder, format of pixels, options, container
    "h264 mp4": ("libx264", "yuv420p", {}, "mp4"),
    "h264 mov": ("libx264", "yuv420p", {}, "mov"),
    "h264 mkv": ("libx264", "yuv420p", {}, "mkv"),
    "h264 mts": ("libx264", "yuv420p", {}, "mts"),
    "hevc mp4": (
        "libx265",
        "yuv420p",
        {"preset": "superfast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
        "mp4",
    ),
    "vp9 webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}, "webm"),
    "av1 mp4": ("libsvtav1", "yuv420p", {"preset": "11", "svtav1-params": "lp=1"}, "mp4"),
    "prores mov": ("prores_ks", "yuv422p10le", {"profile": "2"}, "mov"),
    "mpeg4 avi": ("mpeg4", "yuv420p", {"b": "2M"}, "avi"),
    "mpeg4 3gp": ("mpeg4", "yuv420p", {"b": "2M"}, "3gp"),
    "mpeg2 mpg": ("mpeg2video", "yuv420p", {"b": "2M"}, "mpg"),
    "wmv2 wmv": ("wmv2", "yuv420p", {"b": "2M"}, "wmv"),
    "vp8 ogv": ("libvpx", "yuv420p", {"deadline": "realtime"}, "ogv"),
    "flv flv": ("flv", "yuv420p", {"b": "2M"}, "flv"),
}


_MADE = {  # format -> codec, container and tags of a film in it
    "mp4": "h264 mp4", "mov": "h264 mov", "mkv": "h264 mkv", "webm": "vp9 webm", "avi": "mpeg4 avi",
    "mpegts": "h264 mts", "3gp": "mpeg4 3gp", "mpeg": "mpeg2 mpg", "wmv": "wmv2 wmv", "ogv": "vp8 ogv",
    "flv": "flv flv",
}  # fmt: skip


def made_for(format: str) -> bytes:
    """A small film in one of the formats that are read, by its name."""
    return film([Shot(one, 0.5) for one in photos()[:2]], Making(_MADE[format], rate=25 if format == "mpeg" else RATE))


def photo(name: str, size: tuple[int, int] = SIZE) -> Pixels:
    """A photo of skimage.data in RGB, (height, width, 3)."""
    image = Image.fromarray(getattr(data, name)()).convert("RGB")
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


NAMES = ("astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field", "immunohistochemistry")


@lru_cache(maxsize=4)
def photos(size: tuple[int, int] = SIZE) -> tuple[Pixels, ...]:
    """Photos that nobody takes for each other."""
    return tuple(photo(name, size) for name in NAMES)


@dataclass(frozen=True)
class Shot:
    """A picture that a film shows for some time."""

    pixels: Pixels
    seconds: float = SECONDS
    fade: bool = False  # whether it comes slowly, out of the picture before, in its first second


@dataclass(frozen=True)
class Making:
    """How a film is made."""

    codec: str = "h264 mp4"
    rate: int = RATE
    rotation: int | None = None  # degrees, against the clock, that a player turns it by
    times: Sequence[float] | None = None  # of the frames in seconds, where the rate varies
    sound: float = 0.0  # seconds of it
    options: Mapping[str, str] = field(default_factory=dict)  # of the encoder
    muxer: Mapping[str, str] = field(default_factory=dict)  # options of the container
    tags: Mapping[str, str] = field(default_factory=dict)  # metadata of the container
    colour: tuple[int, int, int] | None = None  # primaries, transfer and matrix that it is flagged with
    pix_fmt: str | None = None
    matrix: str | None = None  # of colours, by PyAV's name, where it is not said in the file
    aspect: tuple[int, int] | None = None  # width to height of a dot
    subtitles: Sequence[tuple[float, float, str]] = ()  # seconds from, to, text
    chapters: Sequence[tuple[float, float, str]] = ()
    cover: bytes | None = None  # a JPEG that is attached


def frames_of(shots: Sequence[Shot], rate: int = RATE) -> list[Pixels]:
    """Every frame, in order."""
    frames: list[Pixels] = []
    for shot in shots:
        before = frames[-1] if frames else np.zeros_like(shot.pixels)
        for number in range(round(shot.seconds * rate)):
            part = min(1.0, (number + 1) / rate) if shot.fade else 1.0
            mixed = shot.pixels if part == 1 else (1 - part) * before + part * shot.pixels
            frames.append(np.asarray(mixed, np.uint8))
    return frames


def film(shots: Sequence[Shot | Pixels], making: Making = Making()) -> bytes:
    """A film file that shows these, one after the other."""
    all_shots = [one if isinstance(one, Shot) else Shot(one) for one in shots]
    return encoded(frames_of(all_shots, making.rate), making)


def encoded(frames: Sequence[NDArray[Any]], making: Making = Making()) -> bytes:
    """A film file of these frames."""
    import av

    container = CODECS[making.codec][3]
    with TemporaryDirectory() as folder, usual_priority():
        file = Path(folder) / f"film.{container}"  # some containers read what they wrote
        with av.open(str(file), "w", format=_MUXERS.get(container, container), options=dict(making.muxer)) as output:
            _write(output, frames, making)
        return file.read_bytes()


@contextmanager
def usual_priority() -> Iterator[None]:
    """How urgent this thread is stays as it was.

    SVT-AV1 makes the one that calls it a real-time thread (SCHED_FIFO, 99) where it runs as root, and leaves it so: all
    that this process does and starts from then on takes the cores away from everything else on the machine.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, urgency = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if (os.sched_getscheduler(0), os.sched_getparam(0)) != (policy, urgency):
            os.sched_setscheduler(0, policy, urgency)


def _write(output: Any, frames: Sequence[NDArray[Any]], making: Making) -> None:
    import av

    encoder, pix_fmt, own, _ = CODECS[making.codec]
    output.metadata.update(making.tags)
    stream = output.add_stream(encoder, rate=making.rate, options={**own, **making.options})
    stream.height, stream.width = frames[0].shape[:2]
    stream.pix_fmt = making.pix_fmt or pix_fmt
    stream.codec_context.thread_count = 1
    if making.times is not None:
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    if making.colour is not None:
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = making.colour
    if making.aspect is not None:
        stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = Fraction(*making.aspect)
    if making.rotation is not None:
        stream.set_display_rotation(making.rotation)
    sound = _sound_stream(output) if making.sound else None
    words = output.add_mux_stream("subrip") if making.subtitles else None  # of Matroska
    if making.cover is not None:
        output.add_attachment("cover.jpg", "image/jpeg", making.cover)  # of Matroska too
    if making.chapters:
        output.set_chapters([
            {"id": number, "start": round(1000 * start), "end": round(1000 * end),
             "time_base": Fraction(1, 1000), "metadata": {"title": title}}
            for number, (start, end, title) in enumerate(making.chapters)
        ])  # fmt: skip
    for number, pixels in enumerate(frames):
        frame = _frame(pixels, making)
        if making.times is not None:
            frame.pts, frame.time_base = round(1000 * making.times[number]), Fraction(1, 1000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
    if sound is not None:
        _write_sound(output, sound, making.sound)
    for start, end, text in making.subtitles:
        packet: Any = av.Packet(text.encode())
        packet.stream, packet.time_base, packet.is_keyframe = words, Fraction(1, 1000), True
        packet.pts = packet.dts = round(1000 * start)
        packet.duration = round(1000 * (end - start))
        output.mux(packet)


def _frame(pixels: NDArray[Any], making: Making) -> Any:
    """Of 8 bits a sample, or of 16."""
    import av

    format = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=format)
    if making.matrix is not None:
        frame = frame.reformat(format="yuv420p", dst_colorspace=making.matrix)
        frame.colorspace = 2  # nobody says it
    if making.colour is not None:
        frame = frame.reformat(format=making.pix_fmt, dst_colorspace=making.colour[2])
        frame.color_primaries, frame.color_trc, frame.colorspace = making.colour
    return frame


def _sound_stream(output: Any) -> Any:
    """A stream of a tone, in the codec that the container is at home with."""
    codec = {"webm": "libopus", "avi": "mp2", "asf": "wmav2", "mpeg": "mp2"}.get(output.format.name, "aac")
    return output.add_stream(codec, rate=48000 if codec == "libopus" else 44100, layout="mono")


def _write_sound(output: Any, stream: Any, seconds: float) -> None:
    import av

    rate = stream.codec_context.sample_rate
    tone = np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    for start in range(0, len(tone), 1024):
        frame = av.AudioFrame.from_ndarray(0.2 * tone[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        for packet in stream.encode(frame):
            output.mux(packet)
    output.mux(stream.encode())


def without_beginning(content: bytes, seconds: float) -> bytes:
    """The film as programs cut it without encoding: the packets from the keyframe on, and a list of what is shown."""
    import av

    with TemporaryDirectory() as folder, usual_priority():
        file = Path(folder) / "film.mp4"
        with av.open(io.BytesIO(content), "r") as source, av.open(str(file), "w") as output:
            stream = source.streams.video[0]
            copy = output.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.size and packet.pts is not None and packet.dts is not None:
                    packet.pts -= round(seconds / packet.time_base)
                    packet.dts -= round(seconds / packet.time_base)
                    packet.stream = copy
                    output.mux(packet)
        return file.read_bytes()


def sound(seconds: float = 1.0, container: str = "mp4", cover: bytes | None = None) -> bytes:
    """A file with nothing but sound, and a picture of its cover."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = _sound_stream(output)
        if cover is not None:
            picture = output.add_stream("mjpeg", rate=1)
            picture.height, picture.width, picture.pix_fmt = 120, 160, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            packet = av.Packet(cover)
            packet.stream, packet.time_base = picture, Fraction(1, 1)
            packet.pts = packet.dts = 0
            packet.is_keyframe = True
        _write_sound(output, stream, seconds)
        if cover is not None:
            output.mux(packet)
    return file.getvalue()
