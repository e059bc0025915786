"""Train the embedded model: frozen pretrained towers, trained pooling and text layers, symmetric InfoNCE.

    python -m mmsearch.training.embedded --data DIR --out mmsearch/encoders/weights/embedded

``DIR`` holds ``images/``, ``captions.tsv``, ``train.txt`` and ``dev.txt``.  Features of the frozen parts are computed
once into ``--cache`` and reused.  Writes the best checkpoint by dev text-to-image R@1, as ONNX graphs.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders.embedded import EmbeddedConfig, ImageTower, TextTower
from mmsearch.metrics import retrieval
from mmsearch.training import pretrained
from mmsearch.training.features import Captions, TokenStates, image_grids, read_captions, token_states
from mmsearch.training.losses import info_nce

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """The recipe; saved beside the weights."""

    epochs: int = 15  # each shows every caption once
    batch: int = 512  # pairs, each of another photo
    lr: float = 1e-3  # peak learning rate of the new layers; one-cycle
    text_lr: float = 5e-5  # peak learning rate of MiniLM's own layers
    weight_decay: float = 0.05
    smoothing: float = 0.1  # label smoothing
    region_dropout: float = 0.2  # share of the 49 grid cells hidden from the pooling
    word_dropout: float = 0.1  # share of tokens hidden from the trained text layers
    frozen_text_layers: int = 6  # layers of MiniLM that stay as they are
    extra_text_layers: int = 1  # new layers on top of MiniLM's six
    scale: float = 20.0  # inverse temperature at the start; learned, at most 100
    ema: float = 0.998  # decay per step of the moving average of the weights, which is what ships
    seed: int = 0


@dataclass(frozen=True)
class Split:
    """One split as features: the captions of photo i are ``texts[i]`` (rows of ``states``)."""

    grids: NDArray[np.float16]  # (photos, views, 49, width)
    states: TokenStates
    texts: list[NDArray[np.int64]]


def load_split(
    data: Path, name: str, cache: Path, towers: tuple[ImageTower, TextTower], model: EmbeddedConfig, layers: int
) -> Split:
    found: Captions = read_captions(data / "captions.tsv", data / f"{name}.txt")
    flips = name == "train"
    grids = image_grids(towers[0], model, data / "images", found.names, flips, cache / f"{name}-grids.npy")
    flat = [text for texts in found.texts for text in texts]
    packed = cache / f"{name}-states-{layers}.npz"
    if packed.exists():
        with np.load(packed) as saved:
            states = TokenStates(saved["states"], saved["starts"])
    else:
        states = token_states(towers[1], pretrained.tokenizer(), flat, layers, model.context)
        np.savez(packed, states=states.states, starts=states.starts)
    ends = np.cumsum([len(texts) for texts in found.texts])
    texts = [np.arange(end - len(own), end) for end, own in zip(ends, found.texts, strict=True)]
    return Split(grids, states, texts)


def batches(split: Split, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch: every caption once, each batch ``size`` different photos in a random view.

    Yields grids (n, 49, width) float32, token states (n, t, width) float32 and their mask (n, t).
    """
    captions = [rng.permutation(texts) for texts in split.texts]
    for turn in range(max(len(own) for own in captions)):
        photos = rng.permutation([photo for photo, own in enumerate(captions) if turn < len(own)])
        for start in range(0, len(photos) - size + 1, size):
            chosen = photos[start : start + size]
            views = rng.integers(0, split.grids.shape[1], len(chosen))
            grids = torch.from_numpy(split.grids[chosen, views].astype(np.float32))
            states, mask = split.states.batch(np.array([captions[photo][turn] for photo in chosen]))
            yield grids, states, mask


def drop(shape: tuple[int, int], share: float, generator: torch.Generator) -> Tensor:
    """A mask (n, s), True with probability ``1 - share``; the first state of a row always stays."""
    kept = torch.rand(shape, generator=generator) >= share
    kept[:, 0] = True
    return kept


class Trainable(nn.Module):
    """Both towers from the stored features on."""

    def __init__(self, images: ImageTower, texts: TextTower, recipe: TrainConfig) -> None:
        super().__init__()
        self.images, self.texts, self.recipe = images, texts, recipe
        self.log_scale = nn.Parameter(torch.tensor(float(np.log(recipe.scale))))

    def encode_grids(self, grids: Tensor, mask: Tensor | None = None) -> Tensor:
        return F.normalize(self.images.pool(grids, mask), dim=-1)

    def encode_states(self, states: Tensor, mask: Tensor) -> Tensor:
        layers = len(self.texts.layers)
        return self.texts.finish(self.texts.run(states, mask, self.recipe.frozen_text_layers, layers), mask)

    def groups(self) -> list[dict[str, object]]:
        """Parameters to train: MiniLM's own layers at the low rate, everything new at the high one."""
        own = [p for layer in self.texts.layers[self.recipe.frozen_text_layers : 6] for p in layer.parameters()]
        new = [p for layer in self.texts.layers[6:] for p in layer.parameters()]
        new += [*self.images.pool.parameters(), *self.texts.pool.parameters(), self.log_scale]
        return [{"params": new, "lr": self.recipe.lr}, {"params": own, "lr": self.recipe.text_lr}][: 2 if own else 1]


@torch.inference_mode()
def evaluate(model: Trainable, split: Split) -> dict[str, dict[str, float]]:
    model.eval()
    images = [
        model.encode_grids(torch.from_numpy(split.grids[start : start + 256, 0].astype(np.float32)))
        for start in range(0, len(split.grids), 256)
    ]
    texts = [
        model.encode_states(*split.states.batch(chunk))
        for chunk in np.array_split(np.concatenate(split.texts), 20)
    ]
    owner = np.concatenate([np.full(len(own), photo) for photo, own in enumerate(split.texts)])
    return retrieval(torch.cat(images).numpy(), torch.cat(texts).numpy(), owner)


def train(data: Path, cache: Path, out: Path, model: EmbeddedConfig, recipe: TrainConfig) -> dict[str, dict[str, float]]:
    """Train, keep the best moving average by dev R@1 in ``out/towers.pt``; returns its dev figures."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    images, texts = ImageTower(model), TextTower(model)
    pretrained.load_image_tower(images)
    pretrained.load_text_tower(texts, model)
    cache.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    towers = (images, texts)
    training = load_split(data, "train", cache, towers, model, recipe.frozen_text_layers)
    dev = load_split(data, "dev", cache, towers, model, recipe.frozen_text_layers)

    live = Trainable(images, texts, recipe)
    groups = live.groups()
    steps = recipe.epochs * sum(1 for _ in range(5)) * (len(training.texts) // recipe.batch)
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    rates = [float(str(group["lr"])) for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=0.15)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    average = [p.detach().clone() for p in trained]
    best: dict[str, dict[str, float]] = {}
    started = time.perf_counter()
    step = 0
    for epoch in range(recipe.epochs):
        live.train()
        total = 0.0
        for grids, states, mask in batches(training, recipe.batch, rng):
            seen = live.encode_grids(grids, drop((len(grids), grids.shape[1]), recipe.region_dropout, generator))
            said = live.encode_states(states, mask & drop((len(mask), mask.shape[1]), recipe.word_dropout, generator))
            loss = info_nce(seen, said, live.log_scale.exp().clamp(max=100), recipe.smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            decay = min(recipe.ema, (step + 1) / (step + 10))
            with torch.no_grad():
                for mean, parameter in zip(average, trained, strict=True):
                    mean.lerp_(parameter, 1 - decay)
            total += loss.item()
        kept = [p.detach().clone() for p in trained]
        with torch.no_grad():
            for parameter, mean in zip(trained, average, strict=True):
                parameter.copy_(mean)
        figures = evaluate(live, dev)
        found = figures["text_to_image"]
        log.info(
            "epoch %d: loss %.3f, scale %.1f, dev R@1 %.2f R@5 %.2f R@10 %.2f, image to text R@1 %.2f, %.0f s",
            epoch + 1, total / (steps // recipe.epochs), live.log_scale.exp().item(),
            found["R@1"], found["R@5"], found["R@10"], figures["image_to_text"]["R@1"], time.perf_counter() - started,
        )  # fmt: skip
        if not best or found["R@1"] > best["text_to_image"]["R@1"]:
            best = figures
            torch.save({"images": images.state_dict(), "texts": texts.state_dict()}, out / "towers.pt")
            facts = {"model": asdict(model), "recipe": asdict(recipe), "dev": best, "epoch": epoch + 1}
            (out / "facts.json").write_text(json.dumps(facts, indent=2))
        with torch.no_grad():
            for parameter, own in zip(trained, kept, strict=True):
                parameter.copy_(own)
    return best
