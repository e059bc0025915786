"""Train the embedded model: pretrained towers whose upper parts are trained on captioned photos and class names.

    python -m mmsearch.training.shipped.embedded --data DIR --start V2 --out mmsearch/encoders/weights/embedded

``DIR`` holds ``images/``, ``captions.tsv``, ``train.txt`` and ``dev.txt``, as ``shipped.mixture`` makes it.  Two pairs
of towers are trained one after the other, each on another image backbone, and put together: their errors differ, and
so the mean of their similarities is better than either.  Of each, the moving average of the weights that has the best
text-to-image R@1 on dev is taken.

With ``--start``, a checkout of the project with version 2, the towers go on from those of version 2: their image
backbones stay as they are, and so do the region tokens; poolings are trained, and the first branch's upper text
layers.  That is how version 3 was made.  Without it both pairs are trained from the pretrained ones.

The runs live in ``--work`` (10 GB while they last); after a kill the same command goes on.  ``docs/embedded-model.md``
has what each part of the recipe gave.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.encoders.export import region_graph
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, Join, TextTower, fold_batch_norms
from mmsearch.errors import SourceError
from mmsearch.evaluation.evaluate import evaluate, read_captions
from mmsearch.media.filesystem import atomic_write
from mmsearch.training.common import memory, pairs
from mmsearch.training.common.pairs import Pairs, Pictures
from mmsearch.training.common.session import RunOptions
from mmsearch.training.contrastive.embedded_trainee import EmbeddedTrainee
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainer import Outcome, train
from mmsearch.training.shipped import pretrained, version2
from mmsearch.training.shipped.imagenet import ImageNetTerm, held_out, unseen_accuracy

log = logging.getLogger(__name__)

RECIPE = Recipe(
    epochs=5, batch=400, captions_per_photo=2, image_layers=2, text_layers=3, lr=1e-3, image_lr=1e-4, text_lr=1e-4,
    layer_decay=1.0, warmup=0.15, ema=0.99, text_text=0.25, feature_dropout=0.3, region_dropout=0.2, word_dropout=0.15,
    views=5, patience=0, precision="bf16",
)  # fmt: skip
CLASSES = 128  # of ImageNet, beside each batch
CLASS_WEIGHT = 0.3
UNSEEN = "unseen.json"  # of a branch that is trained: its accuracy on classes that were never named
DIM = 512  # of the vectors of each branch, and of both together
COMPOSED = 1000  # photos, and as many captions, that tell which directions of both branches together count
SPREAD = 256  # photos whose states give the made-up grids of classes their spread


@dataclass(frozen=True)
class Branch:
    """A pair of towers that is trained by itself; the vectors of both branches, put together, are the model's."""

    backbone: str  # a timm name, of an EfficientNet-Lite that ``pretrained`` knows
    size: int  # pixels a side that it sees; 0 for the model's own
    dim: int = DIM

    @property
    def config(self) -> EmbeddedConfig:
        return EmbeddedConfig(dim=self.dim, image_backbone=self.backbone, backbone_size=self.size)


BRANCHES = (Branch("tf_efficientnet_lite2", 0), Branch("tf_efficientnet_lite0", 224))
# With ``--start``: a recipe for each branch.  The second one's text layers are those that the reranker reads.
FROM_VERSION_2 = (
    replace(RECIPE, epochs=2, image_layers=0, views=2, lr=2e-4, text_lr=3e-5),
    replace(RECIPE, epochs=4, image_layers=0, text_layers=0, views=2),
)


def fresh(recipe: Recipe, branch: Branch = BRANCHES[0], start: Path | None = None) -> EmbeddedTrainee:
    """The pretrained towers of a branch, or those of version 2, with new poolings; the same for the same seed."""
    if start is not None:
        images, texts, config = version2.towers(start, BRANCHES.index(branch), branch.dim, recipe.seed)
    else:
        config = branch.config
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            images, texts = ImageTower(config), TextTower(config)
        pretrained.load_image_tower(images, branch.backbone)
        pretrained.load_text_tower(texts, config)
    return EmbeddedTrainee(images, texts, config, pretrained.tokenizer(), recipe.image_layers, recipe.text_layers)


def read_split(data: Path, name: str) -> Pairs:
    """The photos named in ``train.txt`` or ``dev.txt`` with their captions.  Raises SourceError."""
    try:
        wanted = set((data / f"{name}.txt").read_text("utf-8").split("\n"))
    except OSError as error:
        raise SourceError(f"{data / name}.txt cannot be read: {error.strerror}") from error
    every = pairs.read(data / "captions.tsv", data / "images")
    return every.keep(row for row, photo in enumerate(every.names) if photo in wanted)


@torch.no_grad()
def grids(trainee: EmbeddedTrainee, photos: Pairs) -> NDArray[np.float16]:
    """The states of some photos, (n, s, width)."""
    _, pictures = Pictures.open(photos, trainee.preprocess)
    rows = np.arange(len(photos))
    found = [
        trainee.image_states(trainee.image_prefix(torch.from_numpy(pictures.plain(rows[start : start + 32]))))
        for start in range(0, len(rows), 32)
    ]
    return torch.cat(found).half().numpy()


def run(
    data: Path, work: Path, recipe: Recipe, hold_out: int = 0, device: str = "cpu", classes: int = CLASSES,
    branch: Branch = BRANCHES[0], start: Path | None = None,
) -> tuple[EmbeddedTrainee, Outcome, dict[str, float]]:  # fmt: skip
    """Train a branch in ``work``, or go on there.

    The trained model, what became of it, and the accuracy on ``hold_out`` classes of ImageNet that were never named,
    before training and after.
    """
    training, dev = read_split(data, "train"), read_split(data, "dev")
    trainee = fresh(recipe, branch, start)
    unseen = held_out(hold_out) if hold_out else None
    some = grids(trainee, training.keep(range(min(SPREAD, len(training)))))
    term = ImageNetTerm(
        pretrained.classifier(branch.backbone), some, classes, CLASS_WEIGHT, recipe.feature_dropout, unseen
    )
    accuracy = {}
    if unseen is not None:
        accuracy["before"] = unseen_accuracy(trainee, term, unseen)
    outcome = train(
        trainee, training, dev, recipe, work, [term] if classes else [],
        RunOptions(device=device, resume=(work / "run" / "run.json").exists(), keep_cache=True),
    )  # fmt: skip
    if unseen is not None:
        accuracy["after"] = unseen_accuracy(trainee, term, unseen)
    return trainee, outcome, accuracy


def compose(first: EmbeddedTrainee, second: EmbeddedTrainee, photos: Pairs, dim: int = DIM) -> EmbeddedTrainee:
    """Both branches as one model, whose cosine similarities are the mean of theirs.

    Vectors get ``dim`` dimensions: those in which the vectors of ``photos`` and of their captions are longest.
    """
    upper = RECIPE.text_layers
    config = replace(
        first.config, dim=2 * first.dim, branch_dim=first.dim, second_layers=upper,
        second_backbone=second.config.image_backbone, second_size=second.config.backbone_size,
    )  # fmt: skip
    images, texts = ImageTower(config), TextTower(config)
    fold_batch_norms(images)
    own = {f"second.{name}": value for name, value in second.images.state_dict().items()}
    images.load_state_dict({**images.state_dict(), **first.images.state_dict(), **own})
    given = second.texts.state_dict()
    own = {name.replace("pool.", "second_pool."): value for name, value in given.items() if name.startswith("pool.")}
    for number in range(upper):
        prefix = f"layers.{config.fork + number}."
        own |= {
            f"second_layers.{number}.{name.removeprefix(prefix)}": value
            for name, value in given.items()
            if name.startswith(prefix)
        }
    texts.load_state_dict({**texts.state_dict(), **first.texts.state_dict(), **own})
    config = replace(config, dim=dim)
    directions = _principal_directions(images.eval(), texts.eval(), photos, first, dim)
    for tower in (images, texts):
        tower.join = Join(config)
        with torch.no_grad():
            assert tower.join.map is not None
            tower.join.map.weight.copy_(directions)
    return EmbeddedTrainee(
        images, texts, config, first.tokenizer, scale=float((first.log_scale + second.log_scale).detach().exp().sqrt())
    )


@torch.no_grad()
def _principal_directions(
    images: ImageTower, texts: TextTower, photos: Pairs, first: EmbeddedTrainee, dim: int
) -> Tensor:
    """The directions (dim, 2 * pool_dim), orthonormal, that keep most of the inner products of photos and captions: the
    first eigenvectors of the second moments, photos and captions counting alike."""
    images.join.map = texts.join.map = None
    _, pictures = Pictures.open(photos, first.preprocess)
    rows = np.arange(len(photos))
    seen = [
        images(torch.from_numpy(pictures.plain(rows[at : at + 32])).permute(0, 3, 1, 2) / 255)
        for at in range(0, len(rows), 32)
    ]
    captions = [own[0] for own in photos.texts]
    said = [texts(first.tokenize(captions[at : at + 64])) for at in range(0, len(captions), 64)]
    rows_of = [torch.cat(parts).double() for parts in (seen, said)]
    moments = torch.stack([vectors.T @ vectors / len(vectors) for vectors in rows_of]).sum(dim=0)
    found: Tensor = torch.linalg.eigh(moments).eigenvectors[:, -dim:].T.float()
    return found


def judged(folder: Path, data: Path) -> dict[str, Any]:
    """Retrieval figures of a finished model on ``dev``, and on ``coco_dev`` where ``data`` has one."""
    encoder = OnnxEncoder(folder)
    found = {}
    for split in ("dev", "coco_dev"):
        if (data / f"{split}.txt").exists():
            captions = read_captions(data / "captions.tsv", data / f"{split}.txt")
            figures = evaluate(encoder, captions, data / "images")
            found[split] = {key: figures[key] for key in ("text_to_image", "image_to_text", "intervals", "photos")}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("scratch/embedded"))
    parser.add_argument("--start", type=Path, help="a checkout of the project with version 2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--hold-out", type=int, default=100, help="ImageNet classes never to be named, and then asked for"
    )
    parser.add_argument("--classes", type=int, default=CLASSES, help="ImageNet classes beside each batch; 0 for none")
    for field in fields(Recipe):
        kind = type(getattr(RECIPE, field.name))
        parse = (lambda text: text.lower() in ("1", "true", "yes")) if kind is bool else kind
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=parse)
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    data, out, work, device = given.pop("data"), given.pop("out"), given.pop("work"), given.pop("device")
    start = given.pop("start", None)
    hold_out, classes = given.pop("hold_out"), given.pop("classes")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    memory.keep_freed()
    branches, recipes, accuracy = [], [], {}
    for number, branch in enumerate(BRANCHES):
        folder = work / f"branch{number}"
        recipe = replace(
            FROM_VERSION_2[number] if start else RECIPE, **{**given, "seed": given.get("seed", 0) + number}
        )
        recipes.append(asdict(recipe))
        if not (folder / UNSEEN).exists():
            _, _, unseen = run(data, folder, recipe, hold_out, device, classes, branch, start)
            atomic_write(folder / UNSEEN, json.dumps(unseen).encode())
        accuracy[branch.backbone] = json.loads((folder / UNSEEN).read_text("utf-8"))
        branches.append(EmbeddedTrainee.load(folder))
    made = json.loads((work / "branch0" / "recipe.json").read_text("utf-8"))
    facts: dict[str, Any] = {key: made[key] for key in ("photos", "captions", "version")}
    facts |= {
        "recipes": recipes,
        "start": "version 2" if start else "pretrained towers",
        "classes": classes,
        "class_weight": CLASS_WEIGHT,
        "held_out": hold_out,
        "unseen_accuracy": accuracy,
    }
    photos = read_split(data, "train")
    some = photos.keep(range(0, len(photos), max(1, len(photos) // COMPOSED)))
    compose(branches[0], branches[1], some).save(out, facts, name="embedded")
    if start:
        region_graph.write(out, version2.projection(start))
    file = out / "recipe.json"
    figures = judged(out, data)
    atomic_write(file, (json.dumps({**json.loads(file.read_text("utf-8")), **figures}, indent=2) + "\n").encode())
    shutil.rmtree(work)
    log.info("wrote %s: %s; unseen classes %s", out, figures, accuracy)


if __name__ == "__main__":
    main()
