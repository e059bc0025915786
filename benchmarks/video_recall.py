"""Films: how often a search finds the right moment and the right film, against decoding every frame.

    python -m benchmarks.video_recall DIR CAPTIONS.tsv [--only NAMES.txt] [--films 50] [--seconds 1500]
        [--height 360] [--rate 25] [--seed 0]

Films of 1 to 10 minutes are made of photos of DIR as ``benchmarks.video`` makes them, each photo once, in one codec
after the other.  Each is read by a process of its own as ``mmsearch index`` reads it (``decode_video``, vectors of the
embedded model, ``fold``), and once more by decoding every frame; one each 0.2 s then gets a vector, or as near to that
as frames come.  --rate is frames a second: where it is low, the reference takes less time, and the seconds of computing
that are told are less than those of usual films; keyframes stay as many seconds apart.

A query is the first caption of a photo, or the photo.  A moment is found where the best of its film begins within the
scene of that photo, or a second before or behind it; a film where it has the best moment of all.  No film is begun
after ``--seconds``; what there is then is told.  --only names the photos that are used, one a line: those that the
model was not trained on.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import video
from benchmarks.common import report
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.ingest.encode import chunks_of
from mmsearch.ingest.moments import fold
from mmsearch.media.decode import prepare
from mmsearch.media.filesystem import open_regular
from mmsearch.media.video import decode_video
from mmsearch.types import Pixels, Preprocess, Vectors

MINUTES = (1, 2, 1, 3, 1, 10, 1, 1, 2, 1, 1, 5, 1, 1, 3, 1, 1, 2, *7 * (1,))  # 50 films show 988 photos
EVERY = 0.2  # seconds
NEAR = 1.0  # seconds
BATCH = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--only", type=Path)
    parser.add_argument("--films", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1500.0)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--rate", type=int, default=video.RATE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], Path(options.one[1]))))
        return
    first: dict[str, str] = {}
    for line in options.captions.read_text("utf-8").splitlines():
        name, _, text = line.partition("\t")
        first.setdefault(name, text)
    only = set(options.only.read_text("utf-8").split()) if options.only else set(first)
    files = sorted(path for path in options.folder.iterdir() if path.name in first and path.name in only)
    random.Random(options.seed).shuffle(files)
    begun, films = time.monotonic(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        while len(films) < options.films and time.monotonic() - begun < options.seconds:
            films.append(of_film(len(films), files, Path(folder), options.height, options.rate))
            print(json.dumps({name: films[-1][name] for name in _SHOWN}), file=sys.stderr, flush=True)
    report(
        "video_recall",
        {"height": options.height, "rate": options.rate, "only": str(options.only or ""), **found(films, first)},
    )


_SHOWN = ("codec", "minutes", "frames", "moments", "seconds_a_minute", "peak_mb")


def of_film(number: int, files: list[Path], folder: Path, height: int, rate: int) -> dict[str, Any]:
    """Makes a film of the next photos of ``files``, and looks at it both ways."""
    codec, minutes = list(video.CODECS)[number % len(video.CODECS)], MINUTES[number % len(MINUTES)]
    scenes = video.scenes_of(minutes)
    own, files[:] = files[: len(scenes)], files[len(scenes) :]
    if len(own) < len(scenes):
        raise SystemExit(f"there are not enough photos for film {number + 1}: use fewer with --films")
    file = folder / f"{number}.{video.CODECS[codec][2]}"
    video.PHOTOS, video.photo = tuple(map(str, own)), _photo  # one a scene
    video.make(file, codec, scenes, height, None, rate)
    ours, every = apart("ours", file), apart("every", file)
    file.unlink()
    return {
        "codec": codec,
        "minutes": minutes,
        "scenes": scenes,
        "photos": [str(path) for path in own],
        "frames": ours["frames"],
        "moments": len(ours["starts"]),
        "seconds_a_minute": round(ours["seconds"] / minutes, 2),
        "peak_mb": ours["peak_mb"],
        "ours": ours,
        "every": every,
    }


def _photo(name: str, width: int, height: int) -> Pixels:
    return np.asarray(Image.open(name).convert("RGB").resize((width, height), Image.Resampling.LANCZOS))


def apart(way: str, file: Path) -> dict[str, Any]:
    """What a process of its own says of a film."""
    command = [sys.executable, "-m", "benchmarks.video_recall", ".", ".", "--one", way, str(file)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def one(way: str, file: Path) -> dict[str, Any]:
    """Vectors with the seconds of their frames; of our way what reading took, without the vectors."""
    encoder, seconds, peak, frames = OnnxEncoder(EMBEDDED), 0.0, 0, 0
    preprocess = encoder.card.preprocess
    if way == "ours":
        begun = time.process_time()
        with open_regular(str(file)) as opened:
            parts = decode_video(opened, str(file), preprocess).parts
        seconds, frames = time.process_time() - begun, len(parts)
        (told,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        peak = round(int(told) / 1024)  # with the model, which is loaded
        vectors = encoded(encoder, (part.pixels for part in parts))
        moments = fold(parts, vectors)
        starts = [(part.start_ms or 0) / 1000 for part in moments.parts]
        vectors = vectors[list(moments.frames)]
    else:
        starts = []
        vectors = encoded(encoder, _every(file, preprocess, starts))
    return {
        "starts": starts, "vectors": vectors.astype(float).round(5).tolist(), "seconds": seconds, "peak_mb": peak,
        "frames": frames,
    }  # fmt: skip


def _every(file: Path, preprocess: Preprocess, starts: list[float]) -> Iterator[Pixels]:
    """A frame each ``EVERY`` seconds, of all that are decoded; its seconds are added to ``starts``."""
    import av

    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        apart = max(1, round(EVERY * float(stream.average_rate or 0)))
        for number, frame in enumerate(container.decode(stream)):
            if number % apart == 0:
                starts.append(float(frame.time or 0))
                yield prepare(Image.fromarray(frame.to_ndarray(format="rgb24")), preprocess)


def encoded(encoder: OnnxEncoder, pixels: Iterable[Pixels]) -> Vectors:
    """(n, dim)"""
    return np.concatenate([encoder.encode_images(some) for some in chunks_of(pixels, BATCH)])


def found(films: list[dict[str, Any]], captions: dict[str, str]) -> dict[str, Any]:
    """The shares of queries that found their moment and their film, by way and kind of query."""
    encoder = OnnxEncoder(EMBEDDED)
    photos = [(number, at) for number, film in enumerate(films) for at in range(len(film["photos"]))]
    texts = encoder.encode_texts([captions[Path(films[n]["photos"][at]).name] for n, at in photos])
    pictures = encoded(
        encoder,
        [prepare(Image.open(films[n]["photos"][at]).convert("RGB"), encoder.card.preprocess) for n, at in photos],
    )
    shares: dict[str, Any] = {}
    for way in ("ours", "every"):
        vectors = [np.array(film[way]["vectors"], np.float32) for film in films]
        for kind, queries in (("captions", texts), ("photos", pictures)):
            moments, right = 0, 0
            for query, (number, at) in zip(queries, photos, strict=True):
                start, end = films[number]["scenes"][at]
                best = films[number][way]["starts"][int(np.argmax(vectors[number] @ query))]
                moments += start - NEAR <= best <= end + NEAR
                right += int(np.argmax([(own @ query).max() for own in vectors])) == number
            shares[f"{kind}, {way}"] = {
                "moments": round(moments / len(photos), 3),
                "films": round(right / len(photos), 3),
            }
    frames = sum(film["frames"] for film in films)
    return {
        "films": len(films),
        "minutes": sum(film["minutes"] for film in films),
        "queries": len(photos),
        "found": shares,
        "folded": round(1 - sum(film["moments"] for film in films) / frames, 3),
        "codecs": by_codec(films),
        "each": [{name: film[name] for name in _SHOWN} for film in films],
    }


def by_codec(films: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Seconds of computing a minute of film, and the share of frames that were folded."""
    told = {}
    for codec in video.CODECS:
        own = [film for film in films if film["codec"] == codec]
        if own:
            minutes, frames = sum(film["minutes"] for film in own), sum(film["frames"] for film in own)
            told[codec] = {
                "films": len(own),
                "minutes": minutes,
                "seconds_a_minute": round(sum(film["ours"]["seconds"] for film in own) / minutes, 2),
                "folded": round(1 - sum(film["moments"] for film in own) / frames, 3),
            }
    return told


if __name__ == "__main__":
    main()
