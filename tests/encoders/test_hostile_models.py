"""Folders of models and rerankers that somebody damaged or made up: a ModelError that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mmsearch.encoders.export import model_folder
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig
from mmsearch.errors import ModelError
from mmsearch.rerank.card import RerankCard
from mmsearch.rerank.reranker import Reranker
from mmsearch.search import querybank
from mmsearch.search.calibration import Calibration

DEEP = "[" * 100_000


@pytest.fixture
def model(region_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(region_model, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def reranker(small_reranker: Path, tmp_path: Path) -> Path:
    shutil.copytree(small_reranker, tmp_path / "reranker")
    return tmp_path / "reranker"


def change(file: Path, path: str, value: Any) -> None:
    """Sets one value of a JSON file; ``path`` is its keys with points between."""
    facts = json.loads(file.read_text("utf-8"))
    *outer, last = path.split(".")
    inner = facts
    for key in outer:
        inner = inner[key]
    inner[last] = value
    file.write_text(json.dumps(facts), "utf-8")


WRONG: list[tuple[str, Any]] = [
    ("dim", 2**40), ("dim", 0), ("dim", True), ("dim", "512"), ("dim", 512.0), ("preprocess.size", 10**6),
    ("preprocess.size", -1), ("preprocess.std", [0.5, 0.5]), ("preprocess.std", [0, 1, 1]),
    ("preprocess.mean", [float("nan"), 0, 0]), ("preprocess.mean", "abc"), ("preprocess.interpolation", "nearest"),
    ("preprocess.resize_mode", None), ("preprocess.fill_color", 256), ("preprocess", []), ("tokens.context", 10**9),
    ("tokens.context", 0), ("tokens.pad_id", -1), ("tokens.clean", "all"), ("tokens.fixed_length", "no"),
    ("tokens.strip_sep_id", 2**70), ("tokens", 1), ("regions.side", 10**6), ("regions.dim", 2**40),
    ("regions.projection", 7), ("regions", "none"), ("name", 5), ("weights", None), ("precision", ["float32"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_description_of_a_model(path: str, value: Any, model: Path) -> None:
    change(model / "model.json", path, value)
    with pytest.raises(ModelError, match=r"model/model\.json is no model description: \S") as raised:
        OnnxEncoder(model)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1e999", DEEP, '{"a":' * 100_000, "\udcff", '"model"'])
def test_json_files_of_folders(text: str, model: Path, reranker: Path) -> None:
    readers: dict[Path, Callable[[Path], object]] = {
        model / "model.json": OnnxEncoder,
        model / "recipe.json": EmbeddedConfig.read,
        model / "calibration.json": Calibration.read,
        reranker / "reranker.json": RerankCard.read,
    }
    for file, reader in readers.items():
        before = file.read_bytes() if file.exists() else None
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ModelError, match=file.name.replace(".", r"\.")):
            reader(file.parent)
        if before is not None:
            file.write_bytes(before)


RECIPE = [
    ("model.dim", 2**40), ("model.text_width", 10**9), ("model.text_layers", 10**6), ("model.context", 10**9),
    ("model.vocabulary", -1), ("model.image_backbone", "../x"), ("model.image_backbone", 3), ("model.image_mean", None),
    ("model.more", 1), ("model", 3),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), RECIPE)
def test_recipe_of_a_model(path: str, value: Any, model: Path) -> None:
    change(model / "recipe.json", path, value)
    with pytest.raises(ModelError, match=r"recipe\.json is no recipe of a model: \w"):
        EmbeddedConfig.read(model)
    with pytest.raises(ModelError, match=r"recipe\.json"):
        model_folder.read(model)


RERANKER: list[tuple[str, Any]] = [
    ("side", 10**6), ("side", True), ("region_dim", 2**40), ("weight", float("nan")), ("weight", "1"), ("rule", []),
    ("helps", 1), ("answers", "yes"), ("answers", [1, 2]), ("caption_words", []), ("caption_words", ["<pad>"]),
    ("caption_words", "abcdef"), ("yes", [1, 2]), ("yes", [1, 2, float("inf")]), ("regions", None), ("recipe", "none"),
    ("name", None), ("weights", 0), ("more", 1),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), RERANKER)
def test_description_of_a_reranker(path: str, value: Any, reranker: Path) -> None:
    change(reranker / "reranker.json", path, value)
    with pytest.raises(ModelError, match=r"reranker/reranker\.json is no description of a reranker: \w"):
        RerankCard.read(reranker)


def encode(folder: Path, smaller: int = 0) -> None:
    encoder = OnnxEncoder(folder)
    size = encoder.card.preprocess.size - smaller
    encoder.encode_pictures(np.zeros((2, size, size, 3), np.uint8))
    encoder.encode_texts(["a cat looks at the camera"])


def test_graphs_that_give_something_else_than_the_description_says(model: Path) -> None:
    encode(model)
    card = OnnxEncoder(model).card
    assert card.regions is not None
    for path, value, message in [
        ("dim", 7, rf"image\.onnx gives \(2, {card.dim}\) for 2 rows of vectors, model\.json says 7 dimensions"),
        ("regions.side", card.regions.side + 1, r"gives region tokens of .*, its model\.json says"),
    ]:
        before = (model / "model.json").read_bytes()
        change(model / "model.json", path, value)
        with pytest.raises(ModelError, match=message):
            encode(model)
        (model / "model.json").write_bytes(before)
    with pytest.raises(ModelError, match=r"image\.onnx cannot be run"):
        encode(model, smaller=32)


def spoil(file: Path, value: float) -> None:
    """Puts a value into the weights that a graph ends with."""
    graph = onnx.load(file)
    for tensor in graph.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and values.ndim:
            spoilt = np.full_like(values, value)
            tensor.CopyFrom(numpy_helper.from_array(spoilt, tensor.name))
    onnx.save(graph, file)


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx"])
def test_weights_that_are_no_numbers(name: str, model: Path) -> None:
    spoil(model / name, float("nan"))
    with pytest.raises(ModelError, match=rf"{name} gives vectors that are not finite"):
        encode(model)


def test_tokenizer_with_more_words_than_the_graph(model: Path) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["vocab"] = {word: 10**6 + number for word, number in tokenizer["model"]["vocab"].items()}
    (model / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    with pytest.raises(ModelError, match=r"text\.onnx cannot be run|tokenizer\.json cannot be read"):
        encode(model)


@pytest.mark.parametrize("text", ["", "{}", DEEP, '{"model": {"type": "BPE"}}'])
def test_tokenizer_that_is_none(text: str, model: Path) -> None:
    (model / "tokenizer.json").write_text(text, "utf-8")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        encode(model)


@pytest.mark.parametrize(
    "rows",
    [np.full((3, 1), np.nan), np.ones((3, 2)), np.ones(1), np.ones((0, 1)), np.full((3, 1), np.inf)],
    ids=["NaN", "width", "one row", "none", "endless"],
)
def test_querybank_of_a_model(rows: np.ndarray[Any, Any], model: Path) -> None:
    np.save(model / "background.npy", np.repeat(rows, OnnxEncoder(model).card.dim, axis=-1).astype(np.float16))
    with pytest.raises(ModelError, match=r"background\.npy cannot be used"):
        querybank.vectors(OnnxEncoder(model))


def test_reranker_with_other_words_than_its_graphs(reranker: Path) -> None:
    card = RerankCard.read(reranker)
    tokens = np.zeros((2, card.side**2, card.region_dim), np.float32)
    made = Reranker(reranker)
    made.look("a cat", tokens)
    made.caption(tokens)
    before = (reranker / "reranker.json").read_bytes()
    change(reranker / "reranker.json", "answers", list(card.answers[:2]))
    with pytest.raises(ModelError, match=r"match\.onnx gives .* values for answers, reranker\.json says \(2, 2\)"):
        Reranker(reranker).look("a cat", tokens)
    (reranker / "reranker.json").write_bytes(before)
    change(reranker / "reranker.json", "caption_words", list(card.caption_words[:6]))
    with pytest.raises(ModelError, match=r"caption\.onnx gives .* values for the next word, reranker\.json says"):
        Reranker(reranker).caption(tokens)
    with pytest.raises(ModelError, match=r"match\.onnx cannot be run"):
        Reranker(reranker).look("a cat", tokens[:, :, :-1])


def test_reranker_whose_weights_are_no_numbers(reranker: Path) -> None:
    spoil(reranker / "match.onnx", float("nan"))
    card = RerankCard.read(reranker)
    with pytest.raises(ModelError, match=r"match\.onnx gives no numbers for match"):
        Reranker(reranker).look("a cat", np.ones((2, card.side**2, card.region_dim), np.float32))


def test_words_of_another_graph(reranker: Path) -> None:
    shutil.copy(EMBEDDED / "image.onnx", reranker / "words.onnx")
    card = RerankCard.read(reranker)
    with pytest.raises(ModelError, match=r"words\.onnx"):
        Reranker(reranker).look("a cat", np.ones((2, card.side**2, card.region_dim), np.float32))
