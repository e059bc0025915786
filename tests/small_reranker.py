"""A model that gives region tokens, and a small reranker for it with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from samples import model_without_regions
from torch import nn

from mmsearch.encoders.export import graphs as tower_graphs
from mmsearch.encoders.export import region_graph
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.protocol import ModelCard
from mmsearch.encoders.torch.projection import Projection
from mmsearch.rerank import graphs
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.rerank.model import RerankConfig, RerankModel
from mmsearch.rerank.vocabulary import END, SPECIAL

Module = TypeVar("Module", bound=nn.Module)
ANSWERS = ("yes", "no", "0", "1", "2", "red", "blue", "cat", "dog")
CAPTION_WORDS = (*SPECIAL, *"a cat dog man on the grass with camera red rocket".split())  # noqa: SIM905


def write_model(folder: Path) -> Path:
    """The embedded model with random region tokens; its fingerprint is not that of the embedded one."""
    model_without_regions(folder)
    file = folder / "model.json"
    file.write_text(file.read_text("utf-8").replace('"context": 64', '"context": 32'), "utf-8")
    region_graph.write(folder, Projection.random(1280, 120))
    return folder


def small_model(card: ModelCard, seed: int = 0) -> RerankModel:
    """The weights that ``write_reranker`` exports; the same for the same seed."""
    assert card.regions is not None
    config = RerankConfig(
        card.regions.dim, card.regions.side, width=32, heads=2, pooled=32,
        answers=len(ANSWERS), caption_words=len(CAPTION_WORDS),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = RerankModel(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.2)  # a fresh model looks everywhere alike
            model.decoder.bias[END] -= 2  # captions of several words
    return model


def write_reranker(folder: Path, card: ModelCard, seed: int = 0) -> Path:
    """A reranker for the region tokens of ``card``."""
    folder.mkdir(parents=True)
    model = small_model(card, seed)
    fastpath = torch.backends.mha.get_fastpath_enabled()
    try:
        graphs.write(model, folder)
        graphs.write_words(EMBEDDED / "text.onnx", folder / "words.onnx")
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
    made = RerankCard.of(
        folder, name="small", regions=region_key(card), side=model.config.side, region_dim=model.config.region_dim,
        rule="weighted", weight=0.01, helps=True, answers=ANSWERS, caption_words=CAPTION_WORDS,
    )  # fmt: skip
    (folder / "reranker.json").write_text(made.to_json(), "utf-8")
    return folder


def stored(module: Module) -> Module:
    """The same module with its weights rounded as the graphs store them: matrices of 2,048 values or more to int8."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.numel() >= 2048 and weight.ndim == 2:
                small, scales = tower_graphs.quantize(weight.numpy())
                weight.copy_(torch.from_numpy(small * scales))
            elif weight.numel() >= 2048:
                weight.copy_(weight.half().float())
    return module
