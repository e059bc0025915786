"""Thumbnails of films: what a process of its own costs, against decoding in the process that asks.

    python -m benchmarks.film_thumbnails [--codec h264] [--height 720]

A film of a minute is made as ``benchmarks.video`` makes it.  Its frame each two seconds is read at 320 pixels, both
ways one after the other, so the first one apart is with starting the process.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import video
from benchmarks.common import report
from mmsearch.media.apart import pictures_apart
from mmsearch.media.filesystem import open_regular
from mmsearch.media.memory_budget import Budget
from mmsearch.media.part_picture import Place, read_part, upright_part

SIDE = 320


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", choices=video.CODECS, default="h264")
    parser.add_argument("--height", type=int, default=720)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"film.{video.CODECS[options.codec][2]}")
        video.make(Path(path), options.codec, video.scenes_of(1), options.height, None)

        def here(place: Place) -> None:
            with open_regular(path) as file:
                read_part(file, path, place, SIDE, 200.0, False, Budget(0))

        def apart(place: Place) -> None:
            with open_regular(path) as file:
                upright_part(file, path, place, SIDE, enlarge=False)

        figures = {"here": seconds(here), "apart": seconds(apart)}
        peaks = [
            int(re.findall(r"VmHWM:\s*(\d+)", Path(f"/proc/{process}/status").read_text())[0]) // 1024
            for process in pictures_apart().processes
        ]
    report("film_thumbnails", {"codec": options.codec, "height": options.height, **figures, "process_peak_mb": peaks})


def seconds(read: Callable[[Place], None]) -> dict[str, Any]:
    """Of the first frame, and the median of the 28 others."""
    taken = []
    for at_ms in range(1000, 59_000, 2000):
        begun = time.perf_counter()
        read(Place(0, at_ms))
        taken.append(time.perf_counter() - begun)
    return {"first": round(taken[0], 3), "median": round(statistics.median(taken[1:]), 4)}


if __name__ == "__main__":
    main()
