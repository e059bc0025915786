"""A library of more pictures than are compared one by one, through its front door."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from samples import five_photos
from sqlalchemy import insert

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.library.status import Status
from mmsearch.search import querybank, retrieval
from mmsearch.search.hubness import hubness_penalty
from mmsearch.search.text_adapter import moved
from mmsearch.store.sql.tables import contents, embeddings, items, photos
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.types import Progress, Vectors

pytestmark = pytest.mark.slow

COUNT = 21_000


@pytest.fixture(scope="module")
def vectors(encoder: OnnxEncoder) -> Vectors:
    """Around what the model makes of some texts, so that other texts have something to find."""
    rng = np.random.default_rng(0)
    centres = querybank.vectors(encoder)
    rows = centres[rng.integers(len(centres), size=COUNT)] + 0.03 * rng.standard_normal((COUNT, encoder.card.dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rounded: Vectors = rows.astype("<f2").astype(np.float32)
    return rounded


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder, vectors: Vectors) -> Path:
    """The folder of a library that is stored in bulk, without files: their folder is not there."""
    folder = tmp_path_factory.mktemp("stored")
    card = encoder.card
    with SqliteStore(folder / "library.sqlite") as store:
        with store.writing() as writer:
            writer.add_model(card.name, card.fingerprint, card.dim, active=True)
        rows = range(1, COUNT + 1)
        content = {"width": 4, "height": 3, "format": "png", "metadata_version": 99}
        with store._transaction(write=True) as connection:
            connection.execute(insert(contents), [{"id": n, "hash": b"%d" % n, **content} for n in rows])
            connection.execute(insert(items), [{"id": n, "content_id": n, "part": 0} for n in rows])
            file = {"state": "ok", "size": 1, "mtime_ns": 1}
            connection.execute(insert(photos), [{"path": b"/x/%d.png" % n, "content_id": n, **file} for n in rows])
            halves = vectors.astype("<f2")
            connection.execute(
                insert(embeddings),
                [{"id": n, "item_id": n, "model_id": 1, "vector": halves[n - 1].tobytes()} for n in rows],
            )
    return folder


def opened(folder: Path, encoder: OnnxEncoder) -> Library:
    settings = replace(Settings(), cache=folder.parent / "cache", reranker="none", regions=False)
    return open_library(folder, settings=settings, encoder=encoder)


@dataclass(frozen=True)
class Built:
    """What an index run over five photos made of it."""

    folder: Path
    before: Status
    steps: list[Progress]


@pytest.fixture(scope="module")
def built(stored: Path, tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Built:
    folder = shutil.copytree(stored, tmp_path_factory.mktemp("built") / "large")
    steps: list[Progress] = []
    with opened(folder, encoder) as library:
        before = library.status()
        library.index(five_photos(folder.parent / "photos"), progress=steps.append)
    return Built(folder, before, steps)


@pytest.fixture
def large(built: Built, tmp_path: Path, encoder: OnnxEncoder) -> Iterator[Library]:
    """A copy of it."""
    with opened(shutil.copytree(built.folder, tmp_path / "large"), encoder) as library:
        yield library


def test_an_index_run_builds_what_searches_then_use(
    large: Library, built: Built, encoder: OnnxEncoder, vectors: Vectors
) -> None:
    status = built.before
    assert (status.index, status.index_kind, status.recall) == (COUNT, "exact", 1.0)
    told = [step for step in built.steps if step.step == "index"]
    assert (told[-1].done, told[-1].total) == (COUNT + 5, COUNT + 5)
    status = large.status()
    assert (status.index, status.index_kind) == (COUNT + 5, "ivf-rabitq")
    assert status.recall is not None
    assert status.recall > 0.9

    rows = np.column_stack([vectors, hubness_penalty(vectors, querybank.vectors(encoder), 1.0, querybank.NEAREST)])
    rows = rows.astype("<f2").astype(np.float32)
    texts = ("a dog runs on the beach", "two children in a swimming pool", "a man climbs a rock", "a red car")
    shares = []
    for text in texts:
        vector = moved(encoder, encoder.encode_texts([text])[0], text)
        asked = retrieval.augmented(retrieval.QueryVector(vector, beta=retrieval.beta(text)))
        best = {f"/x/{place + 1}.png" for place in np.argsort(-(rows @ asked))[:10].tolist()}
        hits = [hit.path for hit in large.search(text, 10)]
        shares.append(len(best & set(hits)) / 10)
    assert np.mean(shares) > 0.85

    for text in (*texts, "dog date:1970 -cat"):
        whole = large.search(text, 230)
        pages = [large.search(text, k, offset=o) for o, k in ((0, 10), (10, 10), (20, 70), (90, 30), (120, 110))]
        assert [hit for page in pages for hit in page] == whole
        assert [page.next_offset for page in pages] == [10, 20, 90, 120, 230]

    described = [json.loads(file.read_text()) for file in (large.folder / "index").glob("*.json")]
    assert [(one["count"], one["likely"]["kind"]) for one in described] == [(COUNT + 5, "ivf-rabitq")]
    with open_library(large.folder, settings=large.settings, encoder=encoder) as again:
        assert [hit.path for hit in again.search(texts[0], 10)] == [hit.path for hit in large.search(texts[0], 10)]


def test_with_a_recall_of_one_all_are_compared(
    stored: Path, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    settings = replace(settings, regions=False, recall=1.0)
    with open_library(shutil.copytree(stored, settings.library), settings=settings, encoder=encoder) as exact:
        exact.index(photos)
        assert (exact.status().index_kind, exact.status().recall) == ("exact", 1.0)


def test_removed_pictures_leave_a_large_index(large: Library) -> None:
    text = "a dog runs on the beach"
    first = [hit.path for hit in large.search(text, 5)]
    large.remove(first)
    assert not set(first) & {hit.path for hit in large.search(text, 100)}
    assert large.status().index == COUNT
