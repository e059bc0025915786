"""What HTTP adds to a library: searches and thumbnails through ``mmsearch serve``, beside the library called directly.

    python -m benchmarks.serve --library DIR [--items 7000] [--requests 10000] [--rounds 400]

The library is made in ``DIR`` where it is not there yet, as ``benchmarks.filtering`` makes it: random vectors of the
embedded model's width, metadata as photos have it, and 64 pictures that are files.  ``--items 1000000`` is the large
one.  Clients are threads of this process, each with a connection that stays open; 1, 8 and 32 of them ask for pages of
50 hits, then for thumbnails of 320 pixels that are kept already.  Milliseconds at the median and the 99th percentile;
"direct" is the same in this process, one after the other.  "memory" is what the server holds, in megabytes, before and
after ``--requests`` searches.  One JSON line.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from sqlalchemy import create_engine, text

from benchmarks.common import report
from benchmarks.filtering import TEXTS, make
from mmsearch import config
from mmsearch.encoders import factory
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

PICTURES, SIDE = 64, 1600  # files that thumbnails are made of, and pixels of their longer side
CLIENTS = (1, 8, 32)
HITS = 50


def prepare(folder: Path, items: int) -> None:
    """A library of so many items in the folder, where there is none."""
    file = folder / "library.sqlite"
    if file.exists():
        return
    folder.mkdir(parents=True)
    make(file, replace(factory.embedded().card, regions=None), items)
    rng = np.random.default_rng(0)
    pictures = folder.parent / f"{folder.name} pictures"
    pictures.mkdir(exist_ok=True)
    with create_engine(f"sqlite:///{file}").begin() as connection:
        for number in range(1, PICTURES + 1):
            coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
            coarse.resize((SIDE, SIDE * 3 // 4)).save(pictures / f"{number}.jpg", quality=85)
            path = str(pictures / f"{number}.jpg").encode()
            connection.execute(text("UPDATE photos SET path = :path WHERE id = :id"), {"path": path, "id": number})


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, str, dict[str, str]]]:
    """The process of a server, its address, and what its clients send."""
    command = [sys.executable, "-m", "mmsearch.cli", "serve", "--port", "0", "--library", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            base, _, token = process.stdout.readline().strip().partition("/?token=")
            yield process.pid, f"{base}/api/v1", {"Authorization": f"Bearer {token}"}
        finally:
            process.terminate()


def measured(ask: Callable[[int], object], rounds: int) -> list[float]:
    """Milliseconds of each call."""
    took = []
    for number in range(rounds):
        start = time.perf_counter()
        ask(number)
        took.append(1000 * (time.perf_counter() - start))
    return took


def together(clients: int, rounds: int, address: Callable[[int], str], headers: dict[str, str]) -> list[float]:
    """The same of several clients at once; one that is told to come back does so."""
    took: list[float] = []

    def work(first: int) -> None:
        with httpx.Client(headers=headers, timeout=120) as connection:

            def ask(number: int) -> None:
                while (answer := connection.get(address(first + number))).status_code in (429, 503):
                    time.sleep(0.05)
                answer.raise_for_status()

            took.extend(measured(ask, rounds // clients))

    threads = [threading.Thread(target=work, args=(number * 1000,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def figures(took: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    p50, p99 = np.percentile(took, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def memory(process: int) -> float:
    """Resident megabytes."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text("ascii"))
    return round(int(found[1]) / 1024, 1) if found else 0.0


def direct(library: Library, texts: list[str], rounds: int) -> dict[str, Any]:
    """Figures of the library itself."""
    library.search(texts[0], k=HITS)
    photos = [photo for number in range(1, PICTURES + 1) if (photo := library.photo(number)) is not None]
    for photo in photos:
        library.thumbnail(photo)
    return {
        "search": figures(measured(lambda number: library.search(texts[number % len(texts)], k=HITS), rounds)),
        "thumbnail": figures(measured(lambda number: library.thumbnail(photos[number % len(photos)]), rounds)),
    }


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--items", type=int, default=7000)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=400, help="requests of each measurement")
    given = parser.parse_args()
    folder = given.library.absolute()
    prepare(folder, given.items)
    texts = [f"{one} {word}" for one, word in itertools.product(TEXTS, ("today", "in the evening", "far away"))]
    with open_library(folder, settings=replace(config.load(), device="cpu")) as library:
        told: dict[str, Any] = {"items": given.items, "direct": direct(library, texts, given.rounds)}
    with served(folder) as (process, base, headers):

        def search(number: int) -> str:
            return f"{base}/search?k={HITS}&q={texts[number % len(texts)].replace(' ', '+')}"

        def thumbnail(number: int) -> str:
            return f"{base}/photos/{number % PICTURES + 1}/thumb?size=320"

        together(1, 20, search, headers)
        for clients in CLIENTS:
            told[f"search, {clients} clients"] = figures(together(clients, given.rounds, search, headers))
            told[f"thumbnail, {clients} clients"] = figures(together(clients, given.rounds, thumbnail, headers))
        before = memory(process)
        together(8, given.requests, search, headers)
        told["memory"] = {"before": before, "after": memory(process)}
    report("serve", told)


if __name__ == "__main__":
    main()
