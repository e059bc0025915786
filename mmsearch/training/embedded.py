"""Train the embedded model: frozen pretrained towers, trained pooling and text layers, symmetric InfoNCE.

    python -m mmsearch.training.embedded --data DIR --out mmsearch/encoders/weights/embedded

``DIR`` holds ``images/``, ``captions.tsv``, ``train.txt`` and ``dev.txt``.  Features of the frozen parts are computed
once into ``--cache`` (2 GB) and reused.  The moving average of the weights that has the best text-to-image R@1 on dev
is written as a model folder (``encoders/onnx_encoder.py``) with the recipe beside it.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders import graphs
from mmsearch.encoders.embedded import EmbeddedConfig, ImageTower, TextTower
from mmsearch.encoders.protocol import ModelCard, TokenRules
from mmsearch.metrics import retrieval
from mmsearch.records import Preprocess
from mmsearch.training import pretrained, prototypes
from mmsearch.training.features import TokenStates, image_grids, read_captions, token_states
from mmsearch.training.losses import info_nce

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """The recipe; saved beside the weights."""

    epochs: int = 3  # each shows every caption once
    batch: int = 750  # pairs, each of another photo
    lr: float = 1.5e-3  # peak learning rate of the new layers; one-cycle
    text_lr: float = 5e-5  # peak learning rate of MiniLM's own layers
    weight_decay: float = 0.05
    smoothing: float = 0.2  # label smoothing
    feature_dropout: float = 0.5  # share of channels of the grid and of the token states set to 0
    region_dropout: float = 0.3  # share of the 49 grid cells hidden from the pooling
    word_dropout: float = 0.15  # share of tokens hidden from the trained text layers
    frozen_text_layers: int = 6  # layers of MiniLM that stay as they are
    extra_text_layers: int = 0  # new layers on top of MiniLM's six
    classes: int = 128  # ImageNet classes shown beside each batch, see prototypes.py; 0 for none
    class_weight: float = 0.3  # of their loss
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
    found = read_captions(data / "captions.tsv", data / f"{name}.txt")
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


def order(split: Split, size: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """One epoch as (photos, captions) of each batch: every caption once, each batch ``size`` different photos."""
    captions = [rng.permutation(texts) for texts in split.texts]
    for turn in range(max(len(own) for own in captions)):
        photos = rng.permutation([photo for photo, own in enumerate(captions) if turn < len(own)])
        for start in range(0, len(photos) - size + 1, size):
            chosen = photos[start : start + size]
            yield chosen, np.array([captions[photo][turn] for photo in chosen])


def batches(split: Split, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch, each photo in a random view: grids (n, 49, width) and token states (n, t, width) float32, and the
    tokens' mask (n, t)."""
    for photos, captions in order(split, size, rng):
        views = rng.integers(0, split.grids.shape[1], len(photos))
        states, mask = split.states.batch(captions)
        yield torch.from_numpy(split.grids[photos, views].astype(np.float32)), states, mask


def drop(shape: Sequence[int], share: float, generator: torch.Generator) -> Tensor:
    """A mask (n, s), True with probability ``1 - share``; the first state of a row always stays."""
    kept = torch.rand(tuple(shape), generator=generator) >= share
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

    def groups(self) -> list[dict[str, Any]]:
        """Parameters to train: MiniLM's own layers at the low rate, everything new at the high one."""
        own = [p for layer in self.texts.layers[self.recipe.frozen_text_layers : 6] for p in layer.parameters()]
        new = [p for layer in self.texts.layers[6:] for p in layer.parameters()]
        new += [*self.images.pool.parameters(), *self.texts.pool.parameters(), self.log_scale]
        return [{"params": new, "lr": self.recipe.lr}, {"params": own, "lr": self.recipe.text_lr}][: 2 if own else 1]


class Average:
    """The exponential moving average of the weights over the steps, better than the last step's weights."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters, self._decay, self._steps = list(parameters), decay, 0
        self._means = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        self._steps += 1
        decay = min(self._decay, (self._steps + 1) / (self._steps + 10))  # the first steps count for little
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averaged weights are the model's inside, the live ones again after."""
        own = [p.detach().clone() for p in self._parameters]
        with torch.no_grad():
            for parameter, mean in zip(self._parameters, self._means, strict=True):
                parameter.copy_(mean)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._parameters, own, strict=True):
                    parameter.copy_(value)


@dataclass(frozen=True)
class Trained:
    """What ``train`` gives: both towers, their dev figures and the epoch they come from."""

    images: ImageTower
    texts: TextTower
    dev: dict[str, dict[str, float]]
    epoch: int


@torch.inference_mode()
def evaluate(model: Trainable, split: Split) -> dict[str, dict[str, float]]:
    model.eval()
    images = [
        model.encode_grids(torch.from_numpy(split.grids[start : start + 256, 0].astype(np.float32)))
        for start in range(0, len(split.grids), 256)
    ]
    captions = np.concatenate(split.texts)
    texts = [
        model.encode_states(*split.states.batch(captions[start : start + 256]))
        for start in range(0, len(captions), 256)
    ]
    owner = np.concatenate([np.full(len(own), photo) for photo, own in enumerate(split.texts)])
    return retrieval(torch.cat(images).numpy(), torch.cat(texts).numpy(), owner)


def train(data: Path, cache: Path, model: EmbeddedConfig, recipe: TrainConfig) -> Trained:
    """Train; the moving average with the best dev R@1 wins."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    towers = ImageTower(model), TextTower(model)
    pretrained.load_image_tower(towers[0])
    pretrained.load_text_tower(towers[1], model)
    cache.mkdir(parents=True, exist_ok=True)
    training = load_split(data, "train", cache, towers, model, recipe.frozen_text_layers)
    dev = load_split(data, "dev", cache, towers, model, recipe.frozen_text_layers)

    classes = None
    if recipe.classes:
        classes = prototypes.make(training.grids[:1000], towers[1], model, recipe.frozen_text_layers)
    live = Trainable(*towers, recipe)
    optimizer = torch.optim.AdamW(live.groups(), weight_decay=recipe.weight_decay)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    steps = sum(1 for _ in order(training, recipe.batch, np.random.default_rng(0)))
    rates = [group["lr"] for group in optimizer.param_groups]
    total = recipe.epochs * steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=total, pct_start=0.15)
    average = Average(trained, recipe.ema)
    best: Trained | None = None
    started = time.perf_counter()
    for epoch in range(1, recipe.epochs + 1):
        live.train()
        losses = []
        for grids, states, mask in batches(training, recipe.batch, rng):
            grids = F.dropout(grids, recipe.feature_dropout)
            states = F.dropout(states, recipe.feature_dropout)
            seen = live.encode_grids(grids, drop(grids.shape[:2], recipe.region_dropout, generator))
            said = live.encode_states(states, mask & drop(mask.shape, recipe.word_dropout, generator))
            scale = live.log_scale.exp().clamp(max=100)
            loss = info_nce(seen, said, scale, recipe.smoothing)
            if classes is not None:
                grids, states, mask = classes.batch(training.grids, recipe.classes, rng)
                seen = live.encode_grids(F.dropout(grids, recipe.feature_dropout))
                said = live.encode_states(F.dropout(states, recipe.feature_dropout), mask)
                loss = loss + recipe.class_weight * info_nce(seen, said, scale, recipe.smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            average.update()
            losses.append(loss.item())
        with average.applied():
            figures = evaluate(live, dev)
            found = figures["text_to_image"]
            if best is None or found["R@1"] > best.dev["text_to_image"]["R@1"]:
                best = Trained(copy.deepcopy(towers[0]), copy.deepcopy(towers[1]), figures, epoch)
        log.info(
            "epoch %d of %d: loss %.3f, dev R@1 %.2f R@5 %.2f R@10 %.2f, image to text R@1 %.2f, %.0f s",
            epoch, recipe.epochs, np.mean(losses), found["R@1"], found["R@5"], found["R@10"],
            figures["image_to_text"]["R@1"], time.perf_counter() - started,
        )  # fmt: skip
    assert best is not None
    return best


def write(trained: Trained, model: EmbeddedConfig, recipe: TrainConfig, folder: Path) -> None:
    """The model folder: graphs, tokenizer, ``model.json`` and ``recipe.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    graphs.write(trained.images, trained.texts, model, folder)
    tokenizer = pretrained.tokenizer()
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    digest = hashlib.sha256()
    for name in ("image.onnx", "text.onnx", "tokenizer.json"):
        digest.update((folder / name).read_bytes())
    mean, std = model.image_mean, model.image_std
    card = ModelCard(
        name="embedded",
        dim=model.dim,
        preprocess=Preprocess(model.image_size, (mean, mean, mean), (std, std, std), "bicubic", "squash"),
        tokens=TokenRules(model.context, model.pad_id, fixed_length=False),
        weights=digest.hexdigest(),
        precision="int8 text, float16 image",
    )
    (folder / "model.json").write_text(card.to_json())
    facts = {"model": asdict(model), "recipe": asdict(recipe), "epoch": trained.epoch, "dev": trained.dev}
    (folder / "recipe.json").write_text(json.dumps(facts, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("scratch/features"))
    for field in fields(TrainConfig):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    given = vars(parser.parse_args())
    data, out, cache = given.pop("data"), given.pop("out"), given.pop("cache")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = TrainConfig(**given)
    model = EmbeddedConfig(text_layers=6 + recipe.extra_text_layers)
    trained = train(data, cache, model, recipe)
    write(trained, model, recipe, out)
    log.info("wrote %s: dev %s", out, trained.dev)


if __name__ == "__main__":
    main()
