"""What every ``Encoder`` does alike, whichever engine runs the model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mmsearch.encoders import factory
from mmsearch.encoders.agreement import TEXTS, pictures
from mmsearch.encoders.export import int8
from mmsearch.encoders.hub import published
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.onnx.published import PublishedEncoder
from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder
from mmsearch.encoders.torch.multi_gpu import on_all
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.search import querybank
from mmsearch.search.calibration import Calibration
from mmsearch.types import Pixels

ENGINES = (
    "embedded", "embedded torch", "embedded on two", "clip torch", "clip on two", "clip export", "clip int8",
    "clip published", "siglip torch", "siglip export", "siglip published",
)  # fmt: skip


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encoder]:
    """Each implementation in turn; devices are CPUs here, and so are both of two."""
    model, _, kind = str(request.param).partition(" ")
    if model == "embedded":
        yield embedded(kind)
        return
    torch_encoder: OpenClipEncoder = request.getfixturevalue(model)
    if kind == "torch":
        yield torch_encoder
    elif kind == "published":
        yield PublishedEncoder(request.getfixturevalue(f"{model}_published"), "mine", tmp_path_factory.mktemp("cache"))
    elif kind == "on two":
        yield on_all(torch_encoder, ["cpu", "cpu"])
    else:
        exported: OnnxEncoder = request.getfixturevalue(f"{model}_export")
        yield exported if kind == "export" else int8.quantized(exported, tmp_path_factory.mktemp("int8") / "model")


def embedded(kind: str) -> Encoder:
    if not kind:
        return factory.embedded()
    encoder = TorchEmbeddedEncoder(factory.EMBEDDED, "cpu")
    return on_all(encoder, ["cpu", "cpu"]) if kind == "on two" else encoder


def check(rows: NDArray[Any], shape: tuple[int, ...]) -> None:
    assert rows.shape == shape
    assert rows.dtype == np.float32


def photos(engine: Encoder) -> Pixels:
    given = pictures(engine.card.preprocess.size)
    return np.concatenate([given, given[:1] // 2])


def test_pictures_become_unit_rows_and_tokens(engine: Encoder) -> None:
    given = photos(engine)
    before = given.copy()
    alone, (vectors, regions) = engine.encode_images(given), engine.encode_pictures(given)
    for rows in (alone, vectors):
        check(rows, (len(given), engine.card.dim))
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(alone, vectors, atol=1e-4)
    card = engine.card.regions
    if card is None:
        assert regions is None
    else:
        assert regions is not None
        check(regions, (len(given), card.side**2, card.dim))
        assert np.isfinite(regions).all()
    np.testing.assert_array_equal(given, before)  # nothing is written into what was given


def test_texts_become_unit_rows(engine: Encoder) -> None:
    rows = engine.encode_texts(TEXTS)
    check(rows, (len(TEXTS), engine.card.dim))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)


def test_nothing_becomes_no_rows(engine: Encoder) -> None:
    size, card = engine.card.preprocess.size, engine.card.regions
    none = np.empty((0, size, size, 3), np.uint8)
    check(engine.encode_texts([]), (0, engine.card.dim))
    check(engine.encode_images(none), (0, engine.card.dim))
    vectors, regions = engine.encode_pictures(none)
    check(vectors, (0, engine.card.dim))
    if card is None:
        assert regions is None
    else:
        assert regions is not None
        check(regions, (0, card.side**2, card.dim))


def test_no_row_depends_on_its_neighbours(engine: Encoder) -> None:
    given = photos(engine)
    alone = np.concatenate([engine.encode_images(picture[None]) for picture in given])
    np.testing.assert_allclose(engine.encode_images(given), alone, atol=1e-4)
    texts = np.concatenate([engine.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(engine.encode_texts(TEXTS), texts, atol=1e-4)
    _, regions = engine.encode_pictures(given)
    if regions is not None:
        tokens = [engine.encode_pictures(picture[None])[1] for picture in given]
        np.testing.assert_allclose(regions, np.concatenate([one for one in tokens if one is not None]), atol=2e-3)


def test_several_threads_get_the_same_rows(engine: Encoder) -> None:
    given = photos(engine)
    vectors, texts = engine.encode_images(given), engine.encode_texts(TEXTS)
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def work() -> None:
        try:
            start.wait(60)
            np.testing.assert_allclose(engine.encode_images(given), vectors, atol=1e-4)
            np.testing.assert_allclose(engine.encode_texts(TEXTS), texts, atol=1e-4)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_it_says_what_it_is_and_where_it_runs(engine: Encoder, tmp_path: Path) -> None:
    card = engine.card
    assert type(card).from_json(card.to_json()) == card
    assert (card.dim, card.preprocess.size) == (engine.encode_texts(["a"]).shape[1], photos(engine).shape[1])
    assert (engine.device, engine.batch) == ("cpu", 0)
    folder = engine.folder
    assert folder is None or (folder / "model.json").is_file() or published.is_layout(folder)
    engine.measured = tmp_path / "runs.json"  # where one measures, here it remembers
    assert engine.measured == tmp_path / "runs.json"
    engine.measured = None


@pytest.mark.parametrize("kind", ["torch", "on two"])
def test_calibration_and_bank_are_those_of_the_model_in_every_engine(kind: str) -> None:
    calibration, bank = Calibration.of(factory.embedded()), querybank.vectors(factory.embedded())
    assert calibration is not None
    assert bank.shape == np.load(factory.EMBEDDED / querybank.FILE).shape
    other = embedded(kind)
    assert Calibration.of(other) == calibration
    np.testing.assert_array_equal(querybank.vectors(other), bank)


def test_bank_of_a_model_without_files_is_the_same_in_every_engine(
    clip: OpenClipEncoder, clip_export: OnnxEncoder
) -> None:
    assert Calibration.of(clip) is None
    assert Calibration.of(clip_export) is None
    np.testing.assert_allclose(querybank.vectors(clip), querybank.vectors(clip_export), atol=1e-4)
