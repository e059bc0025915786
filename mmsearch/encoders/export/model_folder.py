"""Folders with a model of the embedded architecture: ``model.json``, the graphs, tokenizer and ``recipe.json``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from mmsearch.encoders.export import graphs, region_graph
from mmsearch.encoders.protocol import ModelCard, TokenRules
from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, TextTower, fold_batch_norms
from mmsearch.encoders.torch.projection import SIDE, Projection
from mmsearch.errors import ModelError
from mmsearch.types import Preprocess

GRAPHS = ("image.onnx", "text.onnx", "tokenizer.json")


def write(
    folder: Path, images: ImageTower, texts: TextTower, config: EmbeddedConfig, tokenizer: Tokenizer, name: str,
    facts: dict[str, Any], base: Path | None = None,
) -> ModelCard:  # fmt: skip
    """The whole folder; ``facts`` join the model's shape in ``recipe.json``.

    Region tokens are a random map of the tower's states.  ``base`` is a model's folder: where it is of the same
    ``config``, its graphs get these weights, else the towers are traced.  Batch norms of ``images`` are folded on the
    way.  Both towers must be on the CPU.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fastpath = torch.backends.mha.get_fastpath_enabled()
    try:
        graphs.write(images, texts, config, folder, base if base is not None and _same(base, config) else None)
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    digest = hashlib.sha256()
    for file in GRAPHS:
        digest.update((folder / file).read_bytes())
    mean, std = config.image_mean, config.image_std
    card = ModelCard(
        name=name,
        dim=config.dim,
        preprocess=Preprocess(config.image_size, (mean, mean, mean), (std, std, std), "bicubic", "squash"),
        tokens=TokenRules(config.context, config.pad_id, fixed_length=False),
        weights=digest.hexdigest(),
        precision="int8 text, float16 image",
    )
    (folder / "model.json").write_text(card.to_json(), "utf-8")
    (folder / "recipe.json").write_text(json.dumps({"model": asdict(config), **facts}, indent=2) + "\n", "utf-8")
    return region_graph.write(folder, _random(images, config))


def _same(folder: Path, config: EmbeddedConfig) -> bool:
    try:
        return EmbeddedConfig.read(folder) == config
    except ModelError:
        return False


def _random(images: ImageTower, config: EmbeddedConfig) -> Projection:
    """A projection that needs no data, for a tower of any size."""
    with torch.inference_mode():
        top, mid, *_ = images.levels(torch.zeros(1, 3, config.image_size, config.image_size))
    return Projection.random(top.shape[1], mid.shape[1], min(SIDE, top.shape[2]))


def read(folder: Path) -> tuple[ImageTower, TextTower, EmbeddedConfig, ModelCard]:
    """Both towers in torch, batch norms folded.  Raises ModelError for a folder of another kind."""
    try:
        card, config = ModelCard.read(folder), EmbeddedConfig.read(folder)
    except ModelError as error:
        raise ModelError(f"{folder} is no folder of a model that mmsearch trained: {error}") from error
    images, texts = ImageTower(config), TextTower(config)
    fold_batch_norms(images)
    try:
        images.load_state_dict(graphs.read_weights(folder / "image.onnx"))
        texts.load_state_dict(graphs.read_weights(folder / "text.onnx"))
    except Exception as error:  # onnx and torch raise many kinds
        raise ModelError(f"the weights in {folder} cannot be read: {' '.join(str(error).split())[:200]}") from error
    return images, texts, config, card
