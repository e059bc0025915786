"""A trained decoder, and the map to its tokens, as the small graphs that ``mmsearch imagine`` runs.

    python -m mmsearch.training.generation.sketches.export --work DIR [--rank 28] [--spread 0.7] [--out FOLDER]

``DIR`` is that of ``python -m mmsearch.training.generation.sketches``.  Kernels and matrices are stored as int8 with a
scale a row and computed with in float32.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from mmsearch.encoders.export import graphs
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.protocol import ModelCard
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import atomic_write, read_array
from mmsearch.search.imagination import FOLDER
from mmsearch.search.sketches import CARD, DECODER, TOKENS, SketchCard
from mmsearch.training.generation.sketches import data, trainer
from mmsearch.training.generation.sketches.models import SketchDecoder
from mmsearch.training.generation.sketches.token_map import TokenMap, fit

SOME = torch.export.Dim.DYNAMIC


class _ToBytes(nn.Module):
    """Tokens (n, side², dim) -> pixels (n, 128, 128, 3) uint8."""

    def __init__(self, decoder: SketchDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: Tensor) -> Tensor:
        pixels: Tensor = self.decoder(tokens).clamp(0, 1)
        return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def decoder_graph(decoder: SketchDecoder) -> onnx.ModelProto:
    """``tokens`` (n, side², dim) -> ``pixels`` (n, 128, 128, 3) uint8, with small weights."""
    examples = {"tokens": torch.zeros(2, decoder.side**2, decoder.dim)}
    with torch.no_grad():
        whole = _ToBytes(decoder.to(memory_format=torch.contiguous_format)).eval()
        made = graphs.traced(whole, examples, {"tokens": {0: SOME}}, ["pixels"])
    graphs.shrink(made, to_int8=True)
    return made


def token_graph(found: TokenMap) -> onnx.ModelProto:
    """``vectors`` (n, dim) and ``noise`` (n, rank) -> ``tokens`` (n, side², width), with small weights."""
    examples = {"vectors": torch.zeros(2, found.map.in_features), "noise": torch.zeros(2, len(found.spread))}
    with torch.no_grad():
        made = graphs.traced(found, examples, {"vectors": {0: SOME}, "noise": {0: SOME}}, ["tokens"])
    graphs.shrink(made, to_int8=True)
    return made


def write(work: Path, folder: Path, rank: int, spread: float) -> SketchCard:
    """Graphs and card of the run in ``work`` into ``folder``, which is made where it is not there."""
    decoder, recipe, figures = trainer.load(work / "sketches")
    model = ModelCard.read(EMBEDDED)
    if model.regions is None or (model.regions.side, model.regions.dim) != (decoder.side, decoder.dim):
        raise ModelError(
            f"the decoder takes {decoder.side}x{decoder.side}x{decoder.dim} tokens, the model gives others"
        )
    features = work / "features" / "train"
    vectors, rows = read_array(features / "vectors.npy", mapped=True), data.load(features)
    found = fit(np.asarray(vectors)[rows.rows], np.asarray(rows.regions)[rows.rows], rank)
    mean, scale = ([round(value, 4) for value in one.tolist()] for one in (decoder.mean, decoder.scale))
    card = SketchCard(model.fingerprint, model.regions.fingerprint, len(found.spread), spread, mean, scale)
    folder.mkdir(parents=True, exist_ok=True)
    for name, graph in ((DECODER, decoder_graph(decoder)), (TOKENS, token_graph(found))):
        atomic_write(folder / name, graph.SerializeToString())
    more = {"recipe": vars(recipe), "dev": figures}
    atomic_write(folder / CARD, (json.dumps({**vars(card), **more}) + "\n").encode())
    return card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rank", type=int, default=28, help="principal components of region tokens")
    parser.add_argument("--spread", type=float, default=0.7, help="of imagined tokens, as a share of that of photos'")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    card = write(given.work, given.out, given.rank, given.spread)
    print(json.dumps({"encoder": card.encoder, "noise": card.noise, "spread": card.spread}))


if __name__ == "__main__":
    main()
