"""What filters cost: a query over a million photos, with conditions that leave half, a tenth, … three, and without.

    python -m benchmarks.filtering --library DIR [--photos 1000000] [--dim 256] [--rounds 15]

The library is made in ``DIR`` where it is not there yet: random vectors, and metadata as photos have it; no picture is
needed.  Texts are encoded by the embedded model, whose vectors are cut to their first ``--dim`` values.  Each round
asks one text with every filter and without, in turns; every third text is a file name.  There are four states:

    warm    it was asked before, with other words: people change the words, not the filter
    new     it is another one of the same share, and has to be compared
    tagged  a tag was written just before each query, as ``mmsearch tag`` does
    added   a photo was added just before each query, as ``mmsearch index`` does

For each the median in milliseconds, and the median and 90th percentile of the ratio to the same text without a filter.
"ids" are milliseconds that it takes to find the ids of the photos taken in a year: by columns that are kept, by columns
that have to be read first, and by SQL that joins the tables.  One JSON line.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import create_engine, event, insert, text, update

from benchmarks.common import report
from benchmarks.vectors import AT_ONCE, pictures, unit
from benchmarks.written import Trips, caption
from mmsearch import config
from mmsearch.encoders import factory
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import ModelCard
from mmsearch.language.tag_names import folded
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.query.files import parse_conditions
from mmsearch.store.sql import tables
from mmsearch.store.sqlite import fulltext
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.sqlite.writer import Writer
from mmsearch.store.types import StoredModel
from mmsearch.store.words import spelling
from mmsearch.types import Decoded, Exif, Found, Pixels, Regions, Vectors

CAPTIONED = 3  # where names and captions are as people have them, one photo in so many has a caption
PLACES = ("beach", "snow", "garden", "mountains", "city")  # a folder of 10,000 photos each, in turns
WHO = ("a dog", "two children", "a woman with a hat", "an old man", "a red car", "people", "a horse")
TEXTS = [f"{who} in the {place}" for place in PLACES for who in WHO]
CAMERAS = ("Canon EOS 5D", "FUJIFILM X-T4", "NIKON D90", "iPhone 12", "Pixel 6", "SONY ILCE-7M3")
ADDED = "/photos/added"
THREES = 100  # folders of three photos
FILTERS: dict[str, str] = {  # share -> a filter that leaves it; the number makes another one of it
    "50 %": "date:2015-01-01T00:{:02d}..2019",
    "10 %": "date:2021-01-01T00:{:02d}..2021-12",
    "1 %": "camera:leica width:>{}",
    "0.1 %": "lens:noctilux height:>{}",
    "3 photos": "in:/photos/three/{}",
}
YEAR = "taken:2021"
BY_SQL = (
    "SELECT embeddings.id FROM photos JOIN contents ON contents.id = photos.content_id "
    "JOIN items ON items.content_id = contents.id "
    "JOIN embeddings ON embeddings.item_id = items.id WHERE photos.state = 'ok' AND embeddings.model_id = 1 "
    "AND contents.taken_at >= '2021' AND contents.taken_at < '2022' ORDER BY embeddings.id"
)


class Narrow:
    """The embedded model, of whose vectors only the first values are left."""

    device, batch, folder = "cpu", 0, None
    measured: Path | None = None

    def __init__(self, encoder: OnnxEncoder, dim: int) -> None:
        self._encoder, self._dim = encoder, dim

    @property
    def card(self) -> ModelCard:
        return replace(self._encoder.card, name="narrow", dim=self._dim, regions=None)

    def encode_images(self, pixels: Pixels) -> Vectors:
        return self._cut(self._encoder.encode_images(pixels))

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        return self.encode_images(pixels), None

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return self._cut(self._encoder.encode_texts(texts))

    def _cut(self, rows: Vectors) -> Vectors:
        return unit(rows[:, : self._dim])


def make(file: Path, card: ModelCard, photos: int, like: Path | None = None) -> None:
    """A library's database, in bulk: what ``Store`` would write picture by picture.

    Vectors are random, around centres, and each word is in many photos.  With ``like``, a library of photos, vectors
    are mixtures of its own (``vectors.py``), and names and captions such as people have them (``written.py``).
    """
    with SqliteStore(file) as store, store.writing() as writer:
        writer.add_model(card.name, card.fingerprint, card.dim, active=True)
    engine = create_engine(f"sqlite:///{file}")

    @event.listens_for(engine, "connect")
    def configure(connection, _record) -> None:  # type: ignore[no-untyped-def]
        connection.execute("PRAGMA synchronous = OFF")
        connection.create_function("name_words", 1, fulltext.path_words, deterministic=True)
        connection.create_function("plain_words", 1, spelling.stored, deterministic=True)
        connection.create_function("tag_folded", 1, folded, deterministic=True)

    rng = np.random.default_rng(0)
    trips = Trips(rng)
    blocks = clusters(card.dim, photos, rng) if like is None else pictures(like, photos)
    for start, rows_of in zip(range(0, photos, AT_ONCE), blocks, strict=True):
        numbers = range(start, start + len(rows_of))
        vectors = rows_of[:, : card.dim].astype("<f2")
        with engine.begin() as connection:
            contents, files = zip(*(metadata(number, rng) for number in numbers), strict=True)
            captions = []
            if like is not None:
                for number, content, photo in zip(numbers, contents, files, strict=True):
                    content["description"], photo["path"] = None, os.fsencode(trips.path())
                    if number % CAPTIONED == 0:
                        said = {"item_id": number + 1, "reranker": "r", "text": caption(rng), "confidence": 0.5}
                        captions.append(said)
            connection.execute(insert(tables.contents), list(contents))
            items = [{"id": number + 1, "content_id": number + 1, "part": 0} for number in numbers]
            connection.execute(insert(tables.items), items)
            connection.execute(insert(tables.photos), list(files))
            if captions:
                connection.execute(insert(tables.captions), captions)
            rows = [
                {"id": number + 1, "item_id": number + 1, "model_id": 1, "vector": vector.tobytes()}
                for number, vector in zip(numbers, vectors, strict=True)
            ]
            connection.execute(insert(tables.embeddings), rows)
            fulltext.rebuild(connection, [number + 1 for number in numbers], [], [])
    with engine.begin() as connection:
        connection.execute(update(tables.properties).where(tables.properties.c.name == "generation").values(value="1"))
    engine.dispose()


def clusters(dim: int, count: int, rng: np.random.Generator) -> Iterator[Vectors]:
    """Vectors around random centres, in blocks."""
    centres = rng.standard_normal((200, dim)).astype(np.float32)
    for start in range(0, count, AT_ONCE):
        size = min(AT_ONCE, count - start)
        noise = rng.standard_normal((size, dim)).astype(np.float32)
        yield unit(centres[rng.integers(len(centres), size=size)] + noise)


def metadata(number: int, rng: np.random.Generator) -> tuple[dict[str, object], dict[str, object]]:
    """Rows of ``contents`` and ``photos``."""
    taken = datetime(2015, 1, 1) + timedelta(seconds=int(rng.integers(3652 * 86400)))
    share = rng.random(6)
    rare = "Leica M6" if share[0] < 0.01 else CAMERAS[int(share[0] * len(CAMERAS))]
    width, height = ((4000, 3000), (3000, 4000), (6000, 4000), (1080, 1080))[int(share[1] * 4)]
    folder = f"three/{number // 3}" if number < 3 * THREES else f"{PLACES[number // 10_000 % 5]}/{number // 10_000}"
    content = {
        "id": number + 1,
        "hash": number.to_bytes(32, "big"),
        "width": width,
        "height": height,
        "format": "jpeg" if share[2] < 0.9 else "heif",
        "taken_at": taken.isoformat() if share[3] < 0.9 else None,
        "camera": rare,
        "lens": "Noctilux 50mm" if share[4] < 0.001 else "XF23mmF2" if share[4] < 0.5 else None,
        "latitude": float(rng.uniform(-90, 90)) if share[5] < 0.6 else None,
        "longitude": float(rng.uniform(-180, 180)) if share[5] < 0.6 else None,
        "description": TEXTS[number % len(TEXTS)] if share[5] < 0.1 else None,
    }
    file = {
        "id": number + 1,
        "path": os.fsencode(f"/photos/{folder}/IMG_{number % 10_000:04d}.jpg"),
        "state": "ok",
        "size": int(rng.lognormal(15, 0.5)),
        "mtime_ns": int(taken.timestamp()) * 10**9,
        "content_id": number + 1,
    }
    return content, file


def add(writer: Writer, model: StoredModel, name: str) -> None:
    """One more photo, of 1970."""
    picture = Decoded(np.zeros((9, 9, 3), np.uint8), 4, 3, "png", Exif())
    content = writer.put(name.encode(), picture, unit(np.ones((1, model.dim), np.float32))[0], model)
    writer.place(Found(f"{ADDED}/{name}.png", 1, 0), content)


def milliseconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - begun)


def asked(number: int) -> str:
    return f"IMG_{37 * number % 10_000:04d}" if number % 3 == 2 else TEXTS[5 * number % len(TEXTS)]


def measured(library: Library, rounds: int, state: str) -> dict[str, object]:
    """One of the states, in rounds."""
    other, model = SqliteStore(library.folder / "library.sqlite"), library.store.model()
    assert model is not None
    taken: dict[str, list[float]] = {name: [] for name in ("all", *FILTERS)}
    names = list(taken)
    for turn in range(-1, rounds):  # the first one warms up
        for place in range(len(names)):
            name = names[(place + turn) % len(names)]
            filtered = FILTERS.get(name, "").format(turn + 2 if state == "new" else 0)
            where = parse_conditions(filtered) if filtered else ()
            with other.writing() as writer:
                if state == "tagged":
                    writer.put_tags("v", {1: {"tag": 0.5}})
                elif state == "added":
                    add(writer, model, f"{turn} {place}")
            hits: list[object] = []
            took = milliseconds(lambda: hits.extend(library.search(asked(turn + 1), where=where, rerank=False)))  # noqa: B023
            assert len(hits) == (3 if name == "3 photos" else 10), (name, len(hits))
            if turn >= 0:
                taken[name].append(took)
    with other.writing() as writer:
        writer.remove(ADDED)
        writer.sweep()
    other.close()
    figures: dict[str, object] = {"all": round(statistics.median(taken["all"]), 1)}
    for name in FILTERS:
        ratios = np.array(taken[name]) / np.array(taken["all"])
        figures[name] = {
            "milliseconds": round(statistics.median(taken[name]), 1),
            "ratio": round(float(np.median(ratios)), 2),
            "ratio_90": round(float(np.percentile(ratios, 90)), 2),
        }
    return figures


def ids(library: Library, rounds: int = 5) -> dict[str, float]:
    """Milliseconds to find the photos of a year."""
    store, model = library.store, library.store.model()
    assert model is not None
    engine = create_engine(f"sqlite:///{library.folder / 'library.sqlite'}")
    found: dict[str, list[float]] = {"kept": [], "read": [], "sql": []}
    with engine.connect() as connection, SqliteStore(library.folder / "library.sqlite") as other:
        for turn in range(rounds):
            with other.writing() as writer:
                add(writer, model, str(turn))  # so that columns have to be read
            wanted = parse_conditions(YEAR)
            found["read"].append(milliseconds(lambda: store.searchable(model, (), wanted)))  # noqa: B023
            for same in range(9):  # so that the filter's own answer is not kept any more
                store.searchable(model, (), parse_conditions(f"taken:>20{turn}{same}"))
            found["kept"].append(milliseconds(lambda: store.searchable(model, (), wanted)))  # noqa: B023
            numbers: list[int] = []
            found["sql"].append(milliseconds(lambda: numbers.extend(connection.execute(text(BY_SQL)).scalars())))  # noqa: B023
            assert numbers == store.searchable(model, (), wanted).tolist()
        with other.writing() as writer:
            writer.remove(ADDED)
            writer.sweep()
    engine.dispose()
    return {name: round(statistics.median(taken), 1) for name, taken in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    encoder = Narrow(factory.embedded(), given.dim)
    file = given.library / "library.sqlite"
    if not file.exists():
        given.library.mkdir(parents=True, exist_ok=True)
        making = file.with_name("making.sqlite")
        making.unlink(missing_ok=True)
        make(making, encoder.card, given.photos)
        making.rename(file)
    with open_library(given.library, settings=replace(config.Settings(), reranker="none"), encoder=encoder) as library:
        library.search("a dog", rerank=False)  # reads or builds the index
        model = library.store.model()
        assert model is not None
        shares = {
            name: len(library.store.searchable(model, (), parse_conditions(where.format(0))))
            for name, where in FILTERS.items()
        }
        rounds = {"warm": given.rounds, "new": given.rounds, "tagged": given.rounds, "added": 3}
        figures = {state: measured(library, count, state) for state, count in rounds.items()}
        found = ids(library)
        facts_of = {"photos": library.store.counts().photos, "dim": model.dim, "left": shares}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    load = round(os.getloadavg()[0], 1)
    report("filtering", {**facts_of, **figures, "ids": found, "peak_gib": round(peak, 1), "load": load})


if __name__ == "__main__":
    main()
