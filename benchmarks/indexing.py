"""Indexing a folder: photos a second, against each step alone and a plain loop over the same photos in the same run.

    python -m benchmarks.indexing --photos DIR [--limit 2000] [--rounds 3] [--no-regions]
    python -m benchmarks.indexing --megapixels 12 [--limit 48] [--rounds 3] [--no-regions] [--model NAME]

The plain loop opens each photo, converts it to RGB, prepares it as open_clip does, everything at full size, and encodes
it with the same model and the same outputs; it stores nothing.  The ways take turns; figures are medians of the rounds.
``--model`` indexes with another model than the embedded one, whose region tokens are then made in a second pass: the
way "index without region tokens" beside it, and milliseconds a photo of both and of the second pass's encoder, say what
that costs.

Photos a second of the CPU time of this process stand beside those of the clock: other programs disturb them less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.camera_photos import make
from benchmarks.common import report
from benchmarks.decoding import plain_path
from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.encoders.protocol import Encoder
from mmsearch.ingest.options import Options
from mmsearch.ingest.prefetch import read_ahead
from mmsearch.library.opening import open_library
from mmsearch.types import Found, IndexReport


class Ways:
    """The ways that are compared, each over all photos."""

    def __init__(self, files: list[Path], encoder: Encoder, regions: bool, beside: bool = False) -> None:
        """``beside`` says that the region tokens come from the embedded model, in a second pass."""
        self.files, self.encoder, self.regions, self.beside = files, encoder, regions, beside
        self.preprocess = encoder.card.preprocess
        self.plain_path = plain_path(self.preprocess)
        self.reports: list[IndexReport] = []
        self.pixels = np.stack([read.picture.pixels for read in self._read() if read.picture is not None][:256])
        self.encode(self.pixels)  # loads the model

    def _read(self) -> Any:
        found = [Found(str(file), file.stat().st_size, 0) for file in self.files]
        return read_ahead(found, set(), self.preprocess, Options())

    def encode(self, pixels: Any) -> None:
        if self.regions and not self.beside:
            self.encoder.encode_pictures(pixels)
        else:
            self.encoder.encode_images(pixels)

    def index(self) -> int:
        self.reports.append(self._indexed(self.regions))
        return self.reports[-1].encoded

    def index_without(self) -> int:
        return self._indexed(False).encoded

    def _indexed(self, regions: bool) -> IndexReport:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "photos").mkdir()
            for number, file in enumerate(self.files):
                (folder / "photos" / f"{number:06d}{file.suffix}").symlink_to(file.absolute())
            settings = replace(Settings(), cache=folder / "cache", regions=regions)
            with open_library(folder / "library", settings=settings, encoder=self.encoder) as library:
                return library.index(folder / "photos")

    def read_alone(self) -> int:
        return sum(1 for _ in self._read())

    def encode_alone(self) -> int:
        for start in range(0, len(self.pixels), 32):
            self.encode(self.pixels[start : start + 32])
        return len(self.pixels)

    def plain_loop(self) -> int:
        for file in self.files:
            self.encode(self.plain_path(file.read_bytes())[None])
        return len(self.files)


def paces(ways: dict[str, Callable[[], int]], rounds: int) -> dict[str, dict[str, float]]:
    """Photos a second of each way, by the clock and by this process's CPU time."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begun, used = time.perf_counter(), time.process_time()
            count = way()
            found[name].append((count / (time.perf_counter() - begun), count / (time.process_time() - used)))
    return {
        name: {
            "photos/s": round(statistics.median(pace for pace, _ in own), 2),
            "photos/CPU s": round(statistics.median(pace for _, pace in own), 2),
        }
        for name, own in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--photos", type=Path)
    source.add_argument("--megapixels", type=float, help="JPEGs of this size are made by code")
    parser.add_argument("--limit", type=int, help="photos, the first by name; default: 2000, or 48 that are made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-regions", action="store_true", help="vectors alone")
    parser.add_argument("--model", default="embedded")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if given.photos:
            files = sorted(path for path in given.photos.iterdir() if path.is_file())[: given.limit or 2000]
        else:
            unit = (given.megapixels * 1e6 / 12) ** 0.5
            files = make(Path(scratch), given.limit or 48, (round(4 * unit), round(3 * unit)))
        encoder = factory.choose(given.model, factory.LoadOptions("cpu")).encoder
        ways = Ways(files, encoder, not given.no_regions, given.model != "embedded")
        compared = {
            "index": ways.index,
            "reading alone": ways.read_alone,
            "encoding alone": ways.encode_alone,
            "plain loop": ways.plain_loop,
        }
        if ways.beside:
            compared["index without region tokens"] = ways.index_without
        found: dict[str, Any] = dict(paces(compared, given.rounds))
    for pace in ("photos/s", "photos/CPU s"):
        index, slowest = found["index"][pace], min(found[way][pace] for way in ("reading alone", "encoding alone"))
        found[f"ratios of {pace}"] = {
            "index to plain loop": round(index / found["plain loop"][pace], 2),
            "index to its slowest step alone": round(index / slowest, 3),
        }
    last = ways.reports[-1]
    if ways.beside:
        names = ("index", "index without region tokens")
        found["CPU ms a photo"] = {name: round(1000 / found[name]["photos/CPU s"], 1) for name in names}
        found["ms a photo"] = {name: round(1000 / found[name]["photos/s"], 1) for name in names}
        found["ms a photo"]["encoder of the tokens"] = round(1000 * last.shares.get("tokens", 0.0) / len(files), 1)
    facts = {"photos": len(files), "regions": ways.regions, "skipped": len(last.skipped), "rounds": given.rounds}
    report("indexing", {**facts, **found, "busy seconds": last.shares, "limit": last.limit})


if __name__ == "__main__":
    main()
