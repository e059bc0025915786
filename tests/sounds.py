"""Audio files of a tone, made with PyAV, with the tags that are asked for."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmsearch.media.subtitles import Cue

# Suffix -> container, codec, rate, and whether its tags are those of the stream.
KINDS = {
    ".mp3": ("mp3", "libmp3lame", 44100, False),
    ".m4a": ("ipod", "aac", 44100, False),
    ".aac": ("adts", "aac", 44100, False),
    ".flac": ("flac", "flac", 44100, False),
    ".ogg": ("ogg", "flac", 44100, True),
    ".opus": ("ogg", "libopus", 48000, True),
    ".wav": ("wav", "pcm_s16le", 44100, False),
    ".aiff": ("aiff", "pcm_s16be", 44100, False),
    ".wma": ("asf", "wmav2", 44100, False),
    ".mka": ("matroska", "libopus", 48000, False),
}


def sound(suffix: str = ".flac", seconds: float = 1.0, hertz: float = 440.0, **tags: str) -> bytes:
    """An audio file; ``hertz`` tells one from another."""
    import av

    container, codec, rate, of_stream = KINDS[suffix]
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"sound{suffix}"
        with av.open(str(file), "w", format=container) as output:
            stream: Any = output.add_stream(codec, rate=rate, layout="mono")
            stream.bit_rate = 64_000
            (stream.metadata if of_stream else output.metadata).update(tags)
            times = np.arange(int(rate * seconds)) / rate
            tone = (0.2 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            context = stream.codec_context
            size = context.frame_size or 1024
            fitting = av.AudioResampler(format=context.format, layout="mono", rate=rate, frame_size=size)
            for part in [*fitting.resample(frame), *fitting.resample(None)]:
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
        return file.read_bytes()


def with_id3(mp3: bytes, *frames: tuple[bytes, bytes], version: int = 3) -> bytes:
    """An MP3 whose ID3 tag has these frames in the place of its own."""
    if mp3[:3] == b"ID3":
        mp3 = mp3[10 + (mp3[6] << 21 | mp3[7] << 14 | mp3[8] << 7 | mp3[9]) :]
    sized = (lambda n: struct.pack(">I", n)) if version == 3 else _syncsafe
    body = b"".join(name + sized(len(content)) + b"\0\0" + content for name, content in frames)
    return b"ID3" + bytes([version, 0, 0]) + _syncsafe(len(body)) + body + mp3


def uslt(text: str) -> tuple[bytes, bytes]:
    """Lyrics without times."""
    return b"USLT", b"\3eng\0" + text.encode()


def sylt(*sung: tuple[int, str], encoding: int = 3, unit: int = 2) -> tuple[bytes, bytes]:
    """Lyrics with their times in milliseconds."""
    name, end = ("latin-1", "utf-16", "utf-16-be", "utf-8")[encoding], b"\0\0" if encoding in (1, 2) else b"\0"
    rows = b"".join(text.encode(name) + end + struct.pack(">I", time) for time, text in sung)
    return b"SYLT", bytes([encoding]) + b"eng" + bytes([unit, 1]) + end + rows


def srt(*cues: Cue | tuple[int, int, str]) -> str:
    """Subtitles."""

    def time(ms: int) -> str:
        return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    return "".join(f"{n}\n{time(start)} --> {time(end)}\n{text}\n\n" for n, (start, end, text) in enumerate(cues, 1))


def _syncsafe(number: int) -> bytes:
    return bytes([number >> 21 & 127, number >> 14 & 127, number >> 7 & 127, number & 127])


def folder_of(place: Path, files: Mapping[str, bytes | str]) -> Path:
    """A folder with these files."""
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return place
