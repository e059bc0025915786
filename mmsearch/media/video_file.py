"""A video file that is open: its picture stream, its packets and its frames, one after the other.

FFmpeg reads it, through PyAV, an extra.  Its logging is never touched: with any level set it hangs on damaged H.264.
``container.decode()`` is never used, as it ends at the first damaged packet: packets are demuxed and each one is tried.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from mmsearch.errors import ImageError
from mmsearch.media.formats import needs_extra
from mmsearch.media.spliced import size_of, spliced

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# What FFmpeg may take a file for.  Without these bounds a text file could name other files and addresses to be read.
SOUND_DEMUXERS = "mp3,mov,aac,flac,ogg,wav,w64,aiff,asf,matroska,webm"
DEMUXERS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,asf,ogg,flv"
_GLANCE = 30e6  # pixels, or 50 frames, from one look at the clock to the next
_BYTES_BETWEEN, _HOLE = 2000, 1.0  # bytes and seconds that lack between two packets where something was not read
MOST_ERRORS = 200  # of one file, one after the other; then nothing more is expected of it
_STREAMED = frozenset(("mpegts", "mpeg", "mpegvideo", "m4v"))
_MOST_BOXES = 100_000
_MARGIN = 1.0  # seconds that are gone back more in these
LETTERS = frozenset(("subrip", "ass", "ssa", "mov_text", "webvtt", "text"))  # codecs of subtitles
_STILL = ("attached_pic", "timed_thumbnails", "still_image")  # pictures that stand beside something else


class OverBudgetError(Exception):
    """A file took more time or more pixels than one file may."""


@dataclass
class Budget:
    """What may be spent on one file.  Time is that of this thread, in which FFmpeg decodes: others do not count."""

    seconds: float
    pixels: float  # of the original size, decoded
    _begun: float = field(default_factory=time.thread_time)
    _unseen: float = 0.0  # pixels since the clock was looked at, which takes up to a millisecond on some machines

    def spend(self, pixels: float) -> None:
        """Raises OverBudgetError once there is nothing left."""
        self._spend(pixels, _GLANCE / 50)

    def pass_over(self) -> None:
        """A packet that is not decoded, of which a long film has half a million.  Raises as ``spend`` does."""
        self._spend(0.0, _GLANCE / 2000)

    def _spend(self, pixels: float, least: float) -> None:
        self.pixels -= pixels
        self._unseen += max(pixels, least)
        if self.pixels < 0:
            raise OverBudgetError
        if self._unseen > _GLANCE:
            self._unseen = 0.0
            if time.thread_time() - self._begun > self.seconds:
                raise OverBudgetError


@dataclass
class VideoFile:
    """An open film; see ``open_video``."""

    path: str
    container: InputContainer
    stream: VideoStream
    bases: list[float]  # seconds of a unit of the time stamps of each stream
    start: float  # seconds; all times below are from here on
    duration: float | None  # seconds of what is seen, as the header says
    cut: bool = False  # the end of the file is missing
    end: float = 0.0  # seconds: the end of the last packet that was read
    last: float = 0.0  # the same of any stream that is read
    texts: set[int] = field(default_factory=set)  # numbers of streams of subtitles in letters, not in pictures
    errors: int = 0  # packets that could not be read or decoded

    @property
    def pixels(self) -> int:
        """Of one frame."""
        return self.stream.codec_context.width * self.stream.codec_context.height

    def time_of(self, stamp: int | None) -> float | None:
        """Seconds of a time stamp of the stream."""
        return None if stamp is None else stamp * self.bases[self.stream.index] - self.start

    @property
    def codec(self) -> str:
        """Its codec as people call it, not the decoder: "av1", not "libdav1d"."""
        return self.stream.codec_context.codec.canonical_name

    def skip(self, what: Literal["NONKEY", "NONREF"]) -> None:
        """Have the decoder leave out all but keyframes, or frames that no other needs.

        An AV1 decoder decodes all: it cannot be told otherwise once it has begun.
        """
        if self.codec != "av1":
            self.stream.codec_context.skip_frame = what

    def seek(self, seconds: float) -> bool:
        """Goes to the keyframe at or before ``seconds``, as near as the file can; False where it cannot.

        Streams have no table of their keyframes: there it is somewhere before.
        """
        streamed = self.container.format.name in _STREAMED
        seconds -= _MARGIN if streamed else 0.0
        stamp = int((max(0.0, seconds) + self.start) / self.bases[self.stream.index])
        try:
            if streamed and seconds <= 0:
                self.container.seek(0, unsupported_byte_offset=True)
            else:
                self.container.seek(stamp, stream=self.stream)
        except Exception:  # damaged, or it has no index
            return False
        return True

    def packets(
        self, holes: list[tuple[float, float]] | None = None, words: list[Packet[Any]] | None = None
    ) -> Iterator[Packet[Any]]:
        """The packets of the picture stream from here on, and at the end one that is empty.

        What cannot be read is passed over, until there is too much of it.  Where bytes and time are missing between two
        packets, the seconds from and to are added to ``holes``; packets of subtitles in letters to ``words``.
        """
        failed, read_to, last = 0, 0, self.end
        while failed < MOST_ERRORS:
            try:
                for packet in self.container.demux():
                    failed = 0
                    missing = read_to and packet.pos is not None and packet.pos - read_to > _BYTES_BETWEEN
                    read_to = max(read_to, (packet.pos or 0) + packet.size) if self.tells_holes else 0
                    base = self.bases[packet.stream_index]  # as a fraction it would take longer than all the rest
                    if packet.pts is not None:
                        self.last = max(self.last, (packet.pts + (packet.duration or 0)) * base - self.start)
                    if packet.stream_index != self.stream.index:
                        if words is not None and packet.stream_index in self.texts:
                            words.append(packet)
                        continue
                    begin = self.time_of(packet.pts if packet.pts is not None else packet.dts)
                    if begin is not None:
                        if holes is not None and missing and begin - last > _HOLE:
                            holes.append((last, begin))
                        last = begin + (packet.duration or 0) * base
                        self.end = max(self.end, last)
                    yield packet
                return
            except EOFError:
                return
            except MemoryError:
                raise
            except Exception:  # FFmpeg has a score of kinds of errors
                failed += 1
                self.errors += 1

    @property
    def tells_holes(self) -> bool:
        """Whether packets say where they lie, one behind the other: what is between two of them was not read."""
        return "matroska" in self.container.format.name

    def decode(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        """The frames that come of a packet, or of the end; none where it is damaged."""
        try:
            return self.stream.codec_context.decode(packet)
        except EOFError:
            return []
        except MemoryError:
            raise
        except Exception:  # FFmpeg has a score of kinds of errors
            self.errors += 1
            return []

    def frames(self, budget: Budget) -> Iterator[tuple[float, VideoFrame, bool]]:
        """All frames from here on that can be decoded, their seconds, and whether they are whole.

        Decoders go on with what they have: behind a damaged frame others look grey or torn up to the next keyframe, and
        nothing in them says so.  Raises OverBudgetError.
        """
        whole = True
        for packet in self.packets():
            errors = self.errors
            for frame in self.decode(packet if packet.size else None):
                budget.spend(self.pixels)
                whole = not frame.is_corrupt and (whole or frame.key_frame)
                time = self.time_of(frame.pts)
                if time is not None:
                    yield time, frame, whole
            whole = whole and self.errors == errors


@contextlib.contextmanager
def open_video(file: BinaryIO, path: str, max_megapixels: float) -> Iterator[VideoFile]:
    """The film in ``file``, which is open and seekable; ``path`` names it in errors.

    Raises ImageError for what is no film that can be read, and for one whose frames are above ``max_megapixels``.
    """
    try:
        import av
        from av.stream import Discard
    except ImportError as error:
        raise ImageError(path, needs_extra("video"), retry=True) from error
    file.seek(0)
    if not file.read(1):
        raise ImageError(path, "the file is empty")
    file.seek(0)
    try:
        container, whole = open_container(av, file), None
    except Exception as error:
        whole = _whole_boxes(file, path)
        if whole is None:
            raise ImageError(path, reason_of(error)) from error
        try:
            container = open_container(av, whole)
        except Exception as again:
            raise ImageError(path, reason_of(again)) from again
    with container:
        stream = _picture_stream(container, path)
        context = stream.codec_context
        width, height = context.width, context.height
        if width * height > max_megapixels * 1e6:
            said = f"{width} x {height} pixels a frame, over the limit of {max_megapixels:g} megapixels"
            raise ImageError(path, said, retry=True)
        context.thread_count = 1
        context.options = {**context.options, "max_pixels": str(int(max_megapixels * 1e6))}  # a frame may be larger
        bases = [float(one.time_base or 0) or 1.0 for one in container.streams]
        start, duration = _start(container, stream), _duration(container, stream)
        film = VideoFile(path, container, stream, bases, start, duration, whole is not None)
        for other in container.streams:
            known = other.codec_context is not None and other.codec_context.codec.canonical_name
            if other.type == "subtitle" and known in LETTERS:
                film.texts.add(other.index)
            elif other is not stream and not film.tells_holes:
                other.discard = Discard.all
        yield film


def reason_of(error: BaseException) -> str:
    """What is wrong with a film, in words."""
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, OSError) and type(error) is OSError:  # of the file, not of FFmpeg
        return f"cannot be read: {error.strerror or error}"
    return "not a video that can be read: it is damaged or cut off at its beginning, or something else"


def open_container(av: Any, file: BinaryIO, demuxers: str = DEMUXERS) -> InputContainer:
    """What PyAV makes of a file that may be no other kind of container, and that may open no other files."""
    container: InputContainer = av.open(
        file,
        "r",
        container_options={"format_whitelist": demuxers, "export_xmp": "1"},
        metadata_errors="replace",
        io_open=_refuse,
    )
    return container


def _whole_boxes(file: BinaryIO, path: str) -> BinaryIO | None:
    """An MP4 or MOV file up to the last of its boxes that is whole; None where it is whole, or none.

    FFmpeg refuses one that was cut off between two fragments.  Raises ImageError where there is no box with the table
    of frames: cameras write it last.
    """
    size, place, tables = size_of(file), 0, False
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        if not place and kind not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return None
        tables = tables or kind in (b"moov", b"moof")
        if length < 8 or place + length > size:
            break
        place += length
    if not tables:
        raise ImageError(path, "it is cut off: the table of its frames, which stands at its end, is missing")
    return spliced(file, (0, place)) if 0 < place < size else None


def _refuse(*_: object) -> Any:
    """A film that names other files does not get them."""
    raise OSError("a video may not open other files")


def _picture_stream(container: InputContainer, path: str) -> VideoStream:
    """The largest one that is a film.  Raises ImageError where there is none."""
    moving = [stream for stream in container.streams.video if not is_still(stream)]
    if not moving:
        sound = "only sound" if container.streams.audio else "no sound"
        beside = " beside a still picture" if container.streams.video else ""
        raise ImageError(path, f"there are no moving pictures in it, {sound}{beside}")
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise ImageError(path, "its pictures are in a format that FFmpeg does not know")
    best = max(known, key=lambda one: (one.codec_context.width * one.codec_context.height, -one.index))
    if not best.codec_context.width or not best.codec_context.height:
        raise ImageError(path, "nothing says how large its pictures are: it is damaged or cut off at its beginning")
    return best


def is_still(stream: VideoStream) -> bool:
    """Whether it is the cover of a song, or small pictures of a film."""
    kinds = type(stream.disposition)
    return any(stream.disposition & getattr(kinds, name, 0) for name in _STILL)


def _start(container: InputContainer, stream: VideoStream) -> float:
    """Seconds: where players begin to count."""
    if container.start_time is not None:
        return container.start_time / 1e6
    if stream.start_time is not None and stream.time_base is not None:
        return float(stream.start_time * stream.time_base)
    return 0.0


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration is not None and container.duration > 0 else None
