"""A library of a million photos: what it costs to add a thousand, and how long a warm search takes.

    python -m benchmarks.million --library DIR [--photos 1000000] [--added 1000] [--rounds 30]

The library is made in ``DIR`` where it is not there yet, as ``filtering.py`` makes it, as wide as the embedded model.
Then ``--added`` photos, drawn here, are indexed twice: into an empty library, and into that one.  Searches are by text
through ``Library.search`` without reranking, after one that warms up; ``index_ms`` is what the vector index takes of
it, and ``encode_ms`` the text encoder.  One JSON line.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import report
from benchmarks.filtering import TEXTS, make
from mmsearch import config, meaning
from mmsearch.encoders import resolve
from mmsearch.library import Library


def draw(folder: Path, count: int) -> None:
    """Photos of 640 x 480 that differ from each other."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg", quality=85)


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--added", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    encoder = resolve.embedded()
    settings = replace(config.Settings(), reranker="none")
    file = given.library / "library.sqlite"
    figures: dict[str, object] = {"photos": given.photos}
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch) / "photos"
        draw(photos, given.added)
        draw(Path(scratch) / "one", 1)
        if not file.exists():
            given.library.mkdir(parents=True, exist_ok=True)
            making = file.with_name("making.sqlite")
            making.unlink(missing_ok=True)
            figures["make_s"] = round(seconds(lambda: make(making, encoder.card, given.photos)), 1)
            making.rename(file)
        with Library(Path(scratch) / "empty", settings, encoder=encoder) as empty:
            empty.index(Path(scratch) / "one")
            alone = empty.index(photos)
        with Library(given.library, settings, encoder=encoder) as library:
            figures["first_index_run_s"] = round(seconds(lambda: library.index(Path(scratch) / "one")), 1)
            figures["index"] = library.status().index_kind
        with Library(given.library, settings, encoder=encoder) as library:
            took = seconds(lambda: library.index(photos))
        figures["added"] = {
            "photos": given.added,
            "to_an_empty_library_s": round(alone.seconds, 2),
            "to_this_one_s": round(took, 2),
            "more_s": round(took - alone.seconds, 2),
        }
        with Library(given.library, settings, encoder=encoder) as library:
            figures["open_and_first_search_s"] = round(seconds(lambda: library.search(TEXTS[0], rerank=False)), 2)
            stored = library.store.model()
            assert stored is not None
            index = library._refresh(stored)
            times: dict[str, list[float]] = {"search_ms": [], "encode_ms": [], "index_ms": []}
            for text in (TEXTS * given.rounds)[: given.rounds]:
                times["search_ms"].append(1000 * seconds(lambda: library.search(text, rerank=False)))  # noqa: B023
                vector = encoder.encode_texts([text])[0]
                times["encode_ms"].append(1000 * seconds(lambda: encoder.encode_texts([text])))  # noqa: B023
                query = meaning.asked(meaning.Part(vector, beta=meaning.beta(text)))
                times["index_ms"].append(1000 * seconds(lambda: index.search(query[None], 10)))  # noqa: B023
            figures |= {name: round(statistics.median(taken), 2) for name, taken in times.items()}
            library.remove([photos, Path(scratch) / "one"])
    report("million", figures)


if __name__ == "__main__":
    main()
