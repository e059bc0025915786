"""A trained generator as the small graph that a search runs, with its card.

    python -m mmsearch.training.generation.export --run DIR/WAY [--pictures 8] [--weight 0.3] [--out FOLDER]

Matrices are stored as int8 with a scale a row and computed with in float32, as in ``encoders/export/graphs.py``.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from mmsearch.encoders.export import graphs
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.protocol import ModelCard
from mmsearch.media.filesystem import atomic_write
from mmsearch.search.imagination import CARD, FOLDER, GRAPH, ImaginationCard
from mmsearch.training.generation import trainer
from mmsearch.training.generation.latents import LatentSpace
from mmsearch.training.generation.models import Generator

SOME = torch.export.Dim.DYNAMIC


class _OneText(nn.Module):
    """Vector (1, dim) and words (1, t, width) of one text, and noise (n, noise) -> vectors of pictures (n, dim)."""

    mean: Tensor

    def __init__(self, generator: Generator, space: LatentSpace) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator)
        for layer in (self.generator.linear, self.generator.end):  # region tokens are not searched for
            layer.weight, layer.bias = nn.Parameter(layer.weight[: space.dim]), nn.Parameter(layer.bias[: space.dim])
        self.register_buffer("mean", space.mean.clone())
        self.scale = float(space.scales[0])

    def forward(self, vector: Tensor, words: Tensor, noise: Tensor) -> Tensor:
        mask = torch.ones_like(words[:, :, 0], dtype=torch.bool)
        guess, told = self.generator.condition(vector, words, mask)
        latents = self.generator.from_condition(guess + 0 * noise[:, :1], told + 0 * noise[:, :1], noise)
        return latents * self.scale + self.mean


def graph(generator: Generator, space: LatentSpace) -> onnx.ModelProto:
    """The graph, with small weights.  The way must have noise: it says how many pictures there are."""
    torch.backends.mha.set_fastpath_enabled(False)
    width = generator.pool.scores.in_features
    examples = {"vector": torch.zeros(1, space.dim), "words": torch.zeros(1, 9, width),
                "noise": torch.zeros(2, generator.noise)}  # fmt: skip
    dynamic: dict[str, dict[int, object]] = {"vector": {}, "words": {1: SOME}, "noise": {0: SOME}}
    with torch.no_grad():
        made = graphs.traced(_OneText(generator, space).eval(), examples, dynamic, ["pictures"])
    graphs.shrink(made, to_int8=True)
    return made


def write(run: Path, folder: Path, pictures: int, weight: float) -> ImaginationCard:
    """Graph and card of the run's generator into ``folder``, which is made where it is not there."""
    generator, space, recipe = trainer.load(run)
    card = ImaginationCard(ModelCard.read(EMBEDDED).fingerprint, generator.noise, pictures, weight)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / GRAPH, graph(generator, space).SerializeToString())
    atomic_write(folder / CARD, (json.dumps({**vars(card), "recipe": vars(recipe)}, indent=2) + "\n").encode())
    return card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--weight", type=float, required=True, help="of the pictures together, beside the words")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    print(write(given.run, given.out, given.pictures, given.weight))


if __name__ == "__main__":
    main()
