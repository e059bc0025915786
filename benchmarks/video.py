"""Films: seconds of computing and memory a minute of film by codec, and the share of scenes that are looked at.

    python -m benchmarks.video [--minutes 1] [--height 720] [--codecs h264 hevc ...] [--keyframes SECONDS] [--keep DIR]
    python -m benchmarks.video --memory 1 3 10 [--height 360] [--codecs mpeg4]

Films are made on the spot: scenes of 2 to 8 seconds of sample photos (skimage.data) that a camera pans over, a cut or a
fade of a second between them, 25 frames a second. Each is read by one process, by ``decode_video`` for an encoder of
260 pixels, and by another one that decodes every frame with one thread and does nothing with it. A scene counts as seen
where a frame within it was taken; how late a moment begins is told of the first frame that was taken of each scene.
With --keyframes encoders set a keyframe every so many seconds, and at no cut.

With --memory a film of each length is read and encoded as ``mmsearch index`` does it: decoded in a process of its own,
its frames encoded with the embedded model, and folded.  Told is the peak of memory of both processes, in MB; the model
has encoded some batches before that, whose peak is told too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import report
from mmsearch.types import Pixels, Preprocess

RATE = 25  # frames a second
SIZE = 260  # pixels a side, of the embedded model
BATCH = 32  # pictures that are encoded at once
PHOTOS: tuple[str, ...] = (
    "astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field", "immunohistochemistry", "retina", "camera",
    "brick", "grass", "gravel", "colorwheel", "moon", "page", "coins",
)  # fmt: skip
CODECS: dict[str, tuple[str, str, str, dict[str, str]]] = {  # encoder, format of pixels, container, options
    "h264": ("libx264", "yuv420p", "mp4", {"preset": "veryfast"}),
    "hevc": (
        "libx265",
        "yuv420p",
        "mp4",
        {"preset": "superfast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    ),
    "vp9": ("libvpx-vp9", "yuv420p", "webm", {"deadline": "realtime", "cpu-used": "8", "b": "2M"}),
    "av1": ("libsvtav1", "yuv420p", "mp4", {"preset": "11", "svtav1-params": "lp=1"}),
    "prores": ("prores_ks", "yuv422p10le", "mov", {"profile": "0"}),
    "mpeg4": ("mpeg4", "yuv420p", "avi", {"b": "4M"}),
}
# Seconds from one keyframe to the next at most, as these encoders set them at 25 frames a second.
FURTHEST = {"h264": 10.0, "hevc": 10.0, "vp9": 5.12, "av1": 6.44, "prores": 0.04, "mpeg4": 0.48}
Scene = tuple[float, float]  # seconds from, to


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=list(CODECS))
    parser.add_argument("--keyframes", type=float)
    parser.add_argument("--keep", type=Path, help="folder for the films, which are made where they are not there")
    parser.add_argument("--memory", type=float, nargs="+", metavar="MINUTES")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        way, file = options.one
        print(json.dumps(memory(file) if way == "memory" else one(way, file)))
        return
    if options.memory:
        report("video_memory", {"height": options.height, "films": memory_of(options)})
        return
    with tempfile.TemporaryDirectory() as folder:
        place = options.keep or Path(folder)
        place.mkdir(exist_ok=True, parents=True)
        figures = {codec: of_codec(codec, place, options) for codec in options.codecs}
    shown = {"minutes": options.minutes, "height": options.height, "keyframes": options.keyframes}
    report("video", {**shown, "codecs": figures})


def of_codec(codec: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one film."""
    scenes = scenes_of(options.minutes)
    name = f"{codec}-{options.minutes:g}-{options.height}-{options.keyframes or 0:g}.{CODECS[codec][2]}"
    file = folder / name
    if not file.exists():
        make(file, codec, scenes, options.height, options.keyframes)
    ours, every = apart("ours", file), apart("every", file)
    taken = ours.pop("frames")
    first = [next((at - start for at in taken if start <= at < end), None) for start, end in scenes]
    late = [one for one in first if one is not None]
    return {
        "megabytes": round(file.stat().st_size / 1e6, 1),
        "seconds_a_minute": round(ours["seconds"] / options.minutes, 2),
        "every_frame_seconds_a_minute": round(every["seconds"] / options.minutes, 2),
        "peak_mb": ours["peak_mb"],
        "every_frame_peak_mb": every["peak_mb"],
        "moments_a_minute": round(len(taken) / options.minutes, 1),
        "scenes": len(scenes),
        "scenes_seen": round(len(late) / len(scenes), 3),
        "late_median_s": round(statistics.median(late), 2),
        "late_worst_s": round(max(late), 2),
    }


def apart(way: str, file: Path) -> dict[str, Any]:
    """What a process of its own says of a film."""
    command = [sys.executable, "-m", "benchmarks.video", "--one", way, str(file)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def one(way: str, file: str) -> dict[str, Any]:
    """Seconds of computing, the peak of memory, and of our way the seconds of the frames that were taken."""
    import av

    from mmsearch.media.filesystem import open_regular
    from mmsearch.media.video import decode_video

    frames: list[float] = []
    begun = time.process_time()
    with open_regular(file) as opened:
        if way == "ours":
            decoded = decode_video(opened, file, Preprocess(SIZE))
            frames = [(part.at_ms or 0) / 1000 for part in decoded.parts]
        else:
            with av.open(opened, "r") as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                for packet in container.demux(stream):
                    packet.decode()
    seconds = time.process_time() - begun
    return {"seconds": seconds, "peak_mb": _peak("self"), "frames": frames}


def memory_of(options: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for codec in options.codecs:
            for minutes in options.memory:
                file = Path(folder) / f"film.{CODECS[codec][2]}"
                make(file, codec, scenes_of(minutes), options.height, None)
                found.append({"codec": codec, "minutes": minutes, **apart("memory", file)})
    return found


def memory(file: str) -> dict[str, Any]:
    """What a film costs where it is indexed: MB of the process that asks, and of the one that decodes."""
    from mmsearch.encoders.factory import EMBEDDED
    from mmsearch.encoders.onnx.encoder import OnnxEncoder
    from mmsearch.ingest.encode import encode
    from mmsearch.ingest.read import Read
    from mmsearch.media.filesystem import open_regular
    from mmsearch.media.worker_pool import FilmsApart
    from mmsearch.types import Found

    encoder = OnnxEncoder(EMBEDDED)
    for count in (
        *5 * (BATCH,),
        BATCH - 1,
        BATCH // 2,
    ):  # ONNX Runtime takes more memory with each of the first batches
        encoder.encode_pictures(np.zeros((count, SIZE, SIZE, 3), np.uint8))
    before = _peak("self")
    with FilmsApart(1) as films:
        with open_regular(file) as opened:
            decoded = films.decode(opened, file, encoder.card.preprocess)
        made = encode(encoder, [Read(Found(file, 0, 0), b"", decoded)], BATCH, True, lambda _: ())
        children = [pid for told in Path("/proc/self/task").glob("*/children") for pid in told.read_text().split()]
        decoding = max(map(_peak, children))
    (one,) = made.made
    assert one is not None
    return {
        "frames": len(decoded.parts), "moments": len(one.vectors), "peak_mb_before": before, "peak_mb": _peak("self"),
        "decoding_peak_mb": decoding,
    }  # fmt: skip


def _peak(process: str) -> int:
    """MB; rusage has that of its parent too."""
    (told,) = re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return round(int(told) / 1024)


def scenes_of(minutes: float) -> list[Scene]:
    chance, at, scenes = random.Random(0), 0.0, list[Scene]()
    while at < 60 * minutes - 2:
        length = min(round(chance.uniform(2, 8) * RATE) / RATE, 60 * minutes - at)
        scenes.append((at, at + length))
        at += length
    return scenes


def make(file: Path, codec: str, scenes: list[Scene], height: int, keyframes: float | None, rate: int = RATE) -> None:
    import av

    encoder, pix_fmt, _, options = CODECS[codec]
    options = dict(options)
    if rate != RATE:  # encoders count frames: as many seconds from one keyframe to the next as at 25
        options["g"] = str(max(1, round(FURTHEST[codec] * rate)))
    if keyframes is not None:
        options |= {"g": str(round(keyframes * RATE)), "sc_threshold": "0"}
        if codec == "hevc":
            options["x265-params"] += f":keyint={round(keyframes * RATE)}:scenecut=0"
    policy, urgency = os.sched_getscheduler(0), os.sched_getparam(0)
    with av.open(str(file), "w") as output:
        stream: Any = output.add_stream(encoder, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = height, height * 16 // 9 // 2 * 2, pix_fmt
        for pixels in frames_of(scenes, stream.width, height, rate):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())
    os.sched_setscheduler(0, policy, urgency)  # SVT-AV1 leaves its caller a real-time thread, where it runs as root


def frames_of(scenes: list[Scene], width: int, height: int, rate: int = RATE) -> Iterator[Pixels]:
    """A camera pans over one photo a scene; every other scene comes out of the one before in a second."""
    last: Pixels | None = None
    for number, (start, end) in enumerate(scenes):
        wide = photo(PHOTOS[number % len(PHOTOS)], round(1.25 * width), round(1.25 * height))
        count = round(end * rate) - round(start * rate)
        for frame in range(count):
            left = round(0.25 * width * frame / count)
            shown = np.ascontiguousarray(wide[left // 4 : left // 4 + height, left : left + width])
            if number % 2 and frame < rate and last is not None:
                part = (frame + 1) / rate
                shown = ((1 - part) * last + part * shown).astype(np.uint8)
            yield shown
        last = shown


def photo(name: str, width: int, height: int) -> Pixels:
    from skimage import data

    image = Image.fromarray(np.asarray(getattr(data, name)())).convert("RGB")
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()
