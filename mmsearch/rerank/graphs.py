"""The reranker as ONNX graphs: ``words.onnx``, ``match.onnx`` and ``caption.onnx``.

Weights are stored as int8 with a scale a row and computed with in float32, as in ``encoders/export/graphs.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from mmsearch.encoders.export import graphs
from mmsearch.errors import ModelError
from mmsearch.rerank.model import RerankModel

SOME = torch.export.Dim.DYNAMIC


def write_words(text_graph: Path, file: Path) -> None:
    """``words.onnx``, a part to be joined to ``text_graph``: the states of its last layer, those of the second branch
    where the text tower has two.

    Raises ModelError when ``text_graph`` is no text tower of the embedded kind.
    """
    graph = onnx.load(text_graph).graph
    norms = {
        (found[1], int(found[2])): node.output[0]
        for node in graph.node
        for name in node.input
        if (found := re.fullmatch(r"(?:tower\.)?(layers|second_layers)\.(\d+)\.norm2\.weight", name))
    }
    widths = [tensor.dims[0] for tensor in graph.initializer if tensor.name.removeprefix("tower.") == "norm.weight"]
    if not norms or not widths:
        raise ModelError(f"{text_graph} is no text tower of the embedded kind: no layers were found in it")
    part = onnx.ModelProto()
    part.graph.node.append(helper.make_node("Identity", [norms[max(norms)]], ["words"], name="words"))
    part.graph.output.append(helper.make_tensor_value_info("words", onnx.TensorProto.FLOAT, ["n", "t", widths[0]]))
    content = part.SerializeToString(deterministic=True)
    onnx.checker.check_model(text_graph.read_bytes() + content)
    file.write_bytes(content)


class _OneText(nn.Module):
    """The words of one text (1, t, width) and region tokens of n photos (n, r, dim) -> what ``RerankModel`` gives."""

    def __init__(self, model: RerankModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, states: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        model = self.model
        photos = tokens.shape[0]
        words = model.read(states)  # (1, t, w)
        mask = torch.ones_like(words[:, :, 0], dtype=torch.bool)
        regions = model.see(tokens)
        pooled = model.pooled_photos(regions) @ model.pooled_texts(states, mask).T  # (n, 1)
        words = words.expand(photos, -1, -1)
        joined = model.join(words, mask.expand(photos, -1), regions)
        match = model.matches(joined.fused) + model.scale() * pooled.squeeze(1)
        return match, model.answers(joined.fused), joined.weights


class _NextWord(nn.Module):
    """Words so far (n, t) and the region tokens of one photo (1, r, dim) -> logits of the next word (n, words)."""

    def __init__(self, model: RerankModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, words: Tensor, tokens: Tensor) -> Tensor:
        regions = self.model.see(tokens).expand(words.shape[0], -1, -1)
        logits: Tensor = self.model.decoder(words, regions)[:, -1]
        return logits


def write(model: RerankModel, folder: Path) -> None:
    """``match.onnx`` and ``caption.onnx`` into ``folder``; the model must be on the CPU."""
    write_match(model, folder)
    write_caption(model, folder)


def write_match(model: RerankModel, folder: Path) -> None:
    config = model.config
    states, tokens = torch.zeros(1, 9, config.text_width), torch.zeros(3, config.side**2, config.region_dim)
    with torch.no_grad():
        graph = graphs.traced(
            _OneText(model).eval(), {"states": states, "tokens": tokens}, {"states": {1: SOME}, "tokens": {0: SOME}},
            ["match", "answers", "attention"],
        )  # fmt: skip
    graphs.shrink(graph, to_int8=True)
    onnx.save(graph, folder / "match.onnx")


def write_caption(model: RerankModel, folder: Path) -> None:
    words, tokens = torch.ones(3, 5, dtype=torch.int64), torch.zeros(1, model.config.side**2, model.config.region_dim)
    with torch.no_grad():
        graph = graphs.traced(
            _NextWord(model).eval(), {"words": words, "tokens": tokens}, {"words": {0: SOME, 1: SOME}, "tokens": {}},
            ["next"],
        )  # fmt: skip
    graphs.shrink(graph, to_int8=True)
    onnx.save(graph, folder / "caption.onnx")
