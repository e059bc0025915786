"""Train the reranker that ships, with the region tokens of the embedded model.

    python -m mmsearch.training.shipped.rerank_embedded --data DIR --questions DIR

``DIR`` of ``--data`` holds ``images/``, ``captions.tsv``, ``train.txt`` and ``dev.txt``, that of ``--questions``
``images/`` and ``qa.tsv``.  Three steps; what takes long is kept in ``--work`` (15 GB while it lasts), so the same
command goes on after a kill:

1. The grids of both branches of the embedded model's image tower, for several views of each photo.
2. A linear map of the grids to region tokens, by the contrast of pooled tokens and pooled words and by late
   interaction: each word finds its region (FILIP, Yao et al. 2022).  It becomes ``regions.onnx``.
3. The reranker itself, by ``reranker.run``, as ``mmsearch train-reranker`` does.

``docs/reranker.md`` has what each gave.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders.export import graphs, model_folder, region_graph
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.embedded_towers import AttentionPool, ImageTower
from mmsearch.encoders.torch.projection import Projection, pool_matrix
from mmsearch.media.filesystem import atomic_write, read_text
from mmsearch.rerank.card import RerankCard
from mmsearch.rerank.graphs import write_words
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.common import losses, memory
from mmsearch.training.common.optimize import Average, rate
from mmsearch.training.common.pairs import MARGIN, Pairs, Pictures
from mmsearch.training.common.session import RunOptions
from mmsearch.training.contrastive import prefix_cache
from mmsearch.training.reranker import run
from mmsearch.training.reranker.data import Lines, encode_lines
from mmsearch.training.reranker.preparation import Sources, WrittenQuestions
from mmsearch.training.reranker.questions import read_daquar
from mmsearch.training.reranker.recipe import RerankRecipe
from mmsearch.training.shipped.embedded import read_split
from mmsearch.types import Preprocess

log = logging.getLogger(__name__)

TOP, MID, WIDTH = 1280, 120, 1280  # channels of the levels of the embedded model's image tower
SIDE, DIM = 7, 80  # 49 tokens of 80 values take 4,018 bytes
VIEWS = 3  # of each photo, for the map
EPOCHS = 6  # of the map; each shows every photo twice
BATCH, LATE = 400, 128  # photos compared as wholes, and by their words and regions
LATE_WEIGHT = 0.5


class _Grids(nn.Module):
    """Pixels as bytes to the tower's levels, pooled, and its vector: (n, SIDE² * channels + dim)."""

    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        levels = self.tower.levels(pixels.permute(0, 3, 1, 2).float() / 255)
        pooled = [
            level.flatten(2) @ torch.from_numpy(pool_matrix(level.shape[2], level.shape[3], SIDE)).T for level in levels
        ]
        cells = torch.cat(pooled, dim=1).transpose(1, 2)  # (n, SIDE², channels)
        return torch.cat([cells.flatten(1), self.tower.pooled(levels)], dim=1)


class _Runner:
    """``_Grids`` through ONNX Runtime, in the shape that ``prefix_cache.image_views`` wants."""

    def __init__(self, module: nn.Module, size: int) -> None:
        self._run = graphs.runner(module, torch.zeros(2, size, size, 3, dtype=torch.uint8))

    def image_prefix(self, pixels: Tensor) -> Tensor:
        given = pixels.numpy()
        return torch.from_numpy(np.concatenate([self._run(given[at : at + 8]) for at in range(0, len(given), 8)]))


def cells(photos: Pairs, views: int, file: Path, tower: ImageTower, preprocess: Preprocess) -> NDArray[np.float16]:
    """Step 1: (photos, views, SIDE² * channels + dim) on disk."""
    kept, pictures = Pictures.open(photos, preprocess, MARGIN if views > 1 else 1.0)
    runner = _Runner(_Grids(tower).eval(), preprocess.size)
    return prefix_cache.image_views(runner, pictures, len(kept), views, file, torch.device("cpu"), 0)


class TokenMap(nn.Module):
    """Step 2: the linear map, and the small towers on top that it is learned by."""

    def __init__(self, mean: Tensor, spread: Tensor, text_width: int, dim: int = 256) -> None:
        super().__init__()
        self.mean, self.spread = mean, spread  # of each channel
        self.map = nn.Linear(len(mean), DIM)
        self.mix = nn.Sequential(nn.LayerNorm(DIM), nn.Linear(DIM, 384), nn.GELU(), nn.Linear(384, dim))
        self.skip = nn.Linear(DIM, dim)
        self.image_pool, self.text_pool = AttentionPool(dim, dim, 8), AttentionPool(text_width, dim, 8)
        self.words = nn.Linear(text_width, DIM)
        self.scale = nn.Parameter(torch.tensor(20.0).log())
        self.late_scale = nn.Parameter(torch.tensor(20.0).log())

    def tokens(self, states: Tensor) -> Tensor:
        """(n, SIDE², channels) -> (n, SIDE², DIM)"""
        mapped: Tensor = self.map((states - self.mean) / self.spread)
        return mapped

    def loss(self, states: Tensor, words: Tensor, mask: Tensor, late: Tensor) -> Tensor:
        """``states`` of n photos, word states (n, t, w) of a caption of each; ``late`` rows meet by their parts."""
        tokens = self.tokens(F.dropout(states, 0.3))
        steps = tokens.detach().abs().amax(dim=2, keepdim=True) / 127
        tokens = tokens + steps * (torch.rand_like(tokens) - 0.5)  # what rounding to int8 will do
        kept = torch.rand(tokens.shape[:2]) > 0.2
        kept[:, 0] = True
        images = F.normalize(self.image_pool(self.skip(tokens) + self.mix(tokens), kept), dim=-1)
        texts = F.normalize(self.text_pool(words, mask), dim=-1)
        found = losses.info_nce(images, texts, self.scale.exp(), 0.1)
        asked, told = F.normalize(self.words(words[late]), dim=-1), F.normalize(tokens[late], dim=-1)
        with torch.autocast("cpu", torch.bfloat16):
            best = torch.einsum("ntd,mrd->ntmr", asked, told).amax(dim=3).float()  # (n, t, m)
        counts = mask[late].float()
        near = (best * counts.unsqueeze(2)).sum(dim=1) / counts.sum(dim=1, keepdim=True)  # (n, m)
        logits, right = self.late_scale.exp() * near, torch.arange(len(late))
        each = [F.cross_entropy(rows, right, label_smoothing=0.1) for rows in (logits, logits.T)]
        return found + LATE_WEIGHT * torch.stack(each).mean()


def token_map(stored: NDArray[np.float16], lines: Lines, captions: list[NDArray[np.int64]]) -> TokenMap:
    """Step 2: learned on the training photos, with its moving average of weights."""
    channels = TOP + MID + WIDTH
    flat = SIDE**2 * channels

    def states(rows: NDArray[np.int64], views: NDArray[np.int64]) -> Tensor:
        found = stored[rows, views][:, :flat].astype(np.float32)
        return torch.from_numpy(found.reshape(len(rows), SIDE**2, channels))

    some = np.linspace(0, len(stored) - 1, min(1000, len(stored))).astype(np.int64)
    plain = states(some, np.zeros(len(some), np.int64))
    ends = (0, TOP, TOP + MID, channels)
    spread = torch.cat([plain[..., a:b].std().expand(b - a) for a, b in itertools.pairwise(ends)])
    torch.manual_seed(0)
    learner = TokenMap(plain.mean(dim=(0, 1)), spread, lines.states.states.shape[1])
    optimizer = torch.optim.AdamW(learner.parameters(), 1e-3, weight_decay=0.05, betas=(0.9, 0.98))
    average = Average(list(learner.parameters()), 0.99)
    batch = min(BATCH, len(stored))
    each = 2 * len(stored) // batch
    for step in range(EPOCHS * each):
        rng = np.random.default_rng([0, step])
        if step % each == 0:
            order = np.concatenate([np.random.default_rng([0, step, part]).permutation(len(stored)) for part in (0, 1)])
        place = step % each * batch
        rows = order[place : place + batch]
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * rate(step, EPOCHS * each, 0.1)
        words, mask = lines.batch(np.array([rng.choice(captions[row]) for row in rows]))
        kept = mask & ((torch.rand(mask.shape) > 0.1) | (torch.arange(mask.shape[1]) == 0))
        late = torch.from_numpy(rng.permutation(batch)[:LATE])
        loss = learner.loss(states(rows, rng.integers(0, stored.shape[1], batch)), F.dropout(words, 0.2), kept, late)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        average.update()
        if not math.isfinite(float(loss.detach())):
            raise ValueError("the loss of the token map is no number")
        if step % each == each - 1:
            log.info("token map, epoch %d of %d: loss %.3f", step // each + 1, EPOCHS, float(loss.detach()))
    with torch.no_grad():
        for parameter, mean in zip(learner.parameters(), average.means, strict=True):
            parameter.copy_(mean)
    return learner.eval()


def projection(learner: TokenMap) -> Projection:
    """The map as the embedded model's projection."""
    made = Projection(TOP, MID, DIM, SIDE, second_width=WIDTH).eval()
    weight = learner.map.weight.detach() / learner.spread
    with torch.no_grad():
        made.top.weight.copy_(weight[:, :TOP])
        made.top.bias.copy_(learner.map.bias - weight @ learner.mean)
        assert made.mid is not None
        assert made.second is not None
        made.mid.weight.copy_(weight[:, TOP : TOP + MID])
        made.second.weight.copy_(weight[:, TOP + MID :])
    return made


def regions(data: Path, work: Path, encoder: Path, out: Path) -> None:
    """Steps 1 and 2: ``regions.onnx`` into the encoder's folder, ``words.onnx`` into the reranker's."""
    out.mkdir(parents=True, exist_ok=True)
    write_words(encoder / "text.onnx", out / "words.onnx")
    tower, _, _, card = model_folder.read(encoder)
    training = read_split(data, "train")
    stored = cells(training, VIEWS, work / "cells.npy", tower.eval(), card.preprocess)
    lines = encode_lines(WordEncoder(encoder, out / "words.onnx"), [text for own in training.texts for text in own])
    region_graph.write(encoder, projection(token_map(stored, lines, training.caption_rows())))


def sentences(photos: Pairs) -> Pairs:
    """Only what could be said of a photo as a caption: no question with its answer, no list of things."""
    texts = [tuple(text for text in own if "?" not in text and text.count(",") < 2) for own in photos.texts]
    return replace(photos, texts=tuple(texts)).keep(row for row, own in enumerate(texts) if own)


def _begun(folder: Path) -> bool:
    """Whether there is a run to go on with; one that was killed before it said what it is, is removed."""
    if (folder / "run" / "run.json").exists():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True, dest="folder")
    parser.add_argument("--encoder", type=Path, default=EMBEDDED, help="gets regions.onnx")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--work", type=Path, default=Path("scratch/reranker"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep-regions", action="store_true", help="leave out steps 1 and 2, which were done before")
    for field in fields(RerankRecipe):
        option = "questions-a-step" if field.name == "questions" else field.name.replace("_", "-")
        parser.add_argument(f"--{option}", type=type(field.default), default=field.default, dest=field.name)
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    data, questions, encoder, out = (given.pop(name) for name in ("data", "folder", "encoder", "out"))
    work, device, keep = given.pop("work"), given.pop("device"), given.pop("keep_regions")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    memory.keep_freed()
    recipe = RerankRecipe(**given)
    gone = work.with_name(f"{work.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    folder = work / "run"
    if not (folder / "reranker.json").exists():  # else it was killed before all files were copied
        made = work / "regions.made"
        if not keep and not made.exists():
            regions(data, work, encoder, out)
            made.touch()
        asked = WrittenQuestions(questions / "images", read_daquar(questions))
        resume = _begun(folder)
        run.run(
            OnnxEncoder(encoder), WordEncoder(encoder, out / "words.onnx"),
            Sources(sentences(read_split(data, "train")), read_split(data, "dev"), asked), recipe, folder, "embedded",
            RunOptions(device=device, resume=resume),
        )  # fmt: skip
    for name in ("match.onnx", "caption.onnx"):
        shutil.copyfile(folder / name, out / name)
    card = json.loads(read_text(folder / "reranker.json"))
    atomic_write(out / "reranker.json", json.dumps(card, separators=(",", ":")).encode())  # without blanks
    os.replace(work, gone)  # all at once: half of it would be taken for a run that goes on
    shutil.rmtree(gone)
    log.info("wrote %s: %s", out, RerankCard.read(out).recipe["dev"]["rule"])


if __name__ == "__main__":
    main()
