"""Captions of the tests' photos, and a small model of the embedded architecture with random weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from shared import made_once
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, TextTower, fold_batch_norms
from mmsearch.training.contrastive.embedded_trainee import EmbeddedTrainee

CAPTIONS = {
    "astronaut.png": "a woman in an orange space suit",
    "camera.png": "a man with a camera on a tripod",
    "chelsea.png": "a cat looks at the camera",
    "coffee.png": "a cup of coffee on a wooden table",
    "grass.png": "a lawn from above",
    "motorcycle_left.png": "a red motorcycle in a garage",
    "rocket.jpg": "a rocket takes off",
    "coins.png": "old coins on a dark cloth",
}
WORDS = sorted({word for caption in CAPTIONS.values() for word in f"this is {caption}".split()})
CONFIG = EmbeddedConfig(
    dim=128,
    image_size=64,
    vocabulary=len(WORDS) + 5,
    context=16,
    text_width=96,  # a smaller matrix of projections would be folded into the graph as a constant without a name
    text_heads=2,
    text_layers=3,
    pool_heads=4,
)
# For tests that look at training, not at a backbone: timm's own for tests, which is traced and run in half the time.
SMALLEST = replace(CONFIG, image_backbone="test_efficientnet", image_width=256, text_layers=2)


def word_tokenizer() -> Tokenizer:
    """Whole words, BERT's special tokens."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
SIGLIP: dict[str, Any] = {  # a vision transformer of timm, and a text tower that looks both ways
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160,
        "timm_model_name": "test_vit",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    },
}


PICTURES = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


def write_open_clip(
    folder: Path, config: dict[str, Any] | None = None, seed: int = 0, pictures: dict[str, Any] | None = None
) -> Path:
    """An open_clip model with random weights, as open_clip itself saves one."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    described = {"model_cfg": config or CLIP, "preprocess_cfg": pictures or PICTURES}
    (folder / "open_clip_config.json").write_text(json.dumps(described), "utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.05 * torch.randn_like(weight)  # a fresh model has zeros where errors would not show
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def small_clip(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of ``CLIP`` with weights, and that of its graphs for ONNX Runtime."""
    weights = made_once(factory, "small_clip", write_open_clip)

    def make(folder: Path) -> None:
        from kept_graphs import kept_exports

        from mmsearch.encoders.export.open_clip import export
        from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder

        with kept_exports(kept_graph_folder(factory)):
            export(OpenClipEncoder.load(f"local-dir:{weights}"), folder)

    return weights, made_once(factory, "small_clip_graphs", make)


def kept_graph_folder(factory: pytest.TempPathFactory) -> Path:
    """Where ``kept_exports`` keeps what it traced, for all tests."""
    return made_once(factory, "graphs", Path.mkdir) / "exports"


class KeptTrainee(EmbeddedTrainee):
    """Keeps its weights as they are; writing the graphs takes 10 s, which ``test_train_command.py`` does once.

    The graph of its frozen stages is made once for the same weights: that takes seconds too.
    """

    def image_prefix(self, pixels: Tensor) -> Tensor:
        if self._runner is not None or self._whole_image:
            return super().image_prefix(pixels)
        frozen = [weight for weight in self.images.backbone.parameters() if not weight.requires_grad]
        weights = b"".join(weight.numpy().tobytes() for weight in (*frozen, *self.images.backbone.buffers()))
        key = self._kept_stages, hashlib.sha256(weights).digest()
        self._runner = _RUNNERS.get(key)
        prefix = super().image_prefix(pixels)
        if self._runner is not None:
            _RUNNERS[key] = self._runner
        return prefix

    def save(self, folder: Path, facts: dict[str, Any], name: str | None = None) -> None:
        torch.save({name: p.detach() for name, p in self.named_parameters()}, folder / "weights.pt")


_RUNNERS: dict[tuple[int, bytes], Callable[[NDArray[Any]], NDArray[Any]]] = {}


def small_trainee(
    image_layers: int = 0, text_layers: int = 1, seed: int = 0, kind: type[EmbeddedTrainee] = EmbeddedTrainee
) -> EmbeddedTrainee:
    """The embedded architecture at 64 pixels with narrow towers; the same weights for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        images, texts = ImageTower(SMALLEST), TextTower(SMALLEST)
        fold_batch_norms(images)
        return kind(images, texts, SMALLEST, word_tokenizer(), image_layers, text_layers)
