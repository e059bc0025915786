"""Copies of the repositories that ``auto`` downloads from, with random weights: real names and layouts, narrow towers.

As a program it is ``mmsearch`` where open_clip's own architectures are as narrow: ``python tests/hub_models.py ARGS``.
"""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

from small_models import write_open_clip
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

CPU, GPU = "ViT-B-32-256", "ViT-B-16-SigLIP2"  # the first choices on a CPU and on a GPU
REPOSITORIES = {CPU: "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K", GPU: "timm/ViT-B-16-SigLIP2"}
SAFE, PICKLED = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
PICTURES = {
    CPU: {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
    GPU: {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
}


def described(name: str, narrow: bool = True) -> dict[str, Any]:
    """open_clip's description of the architecture, with towers of one layer where it is to be ``narrow``."""
    from mmsearch.encoders.hub import registry

    config: dict[str, Any] = json.loads(registry.architectures()[name].read_text("utf-8"))
    if narrow:
        config = copy.deepcopy(config)
        config["embed_dim"] = 64
        config["text_cfg"] |= {"width": 64, "heads": 2, "layers": 1}
        if name == CPU:
            config["vision_cfg"] |= {"width": 64, "head_width": 32, "layers": 1}
        else:
            config["vision_cfg"] |= {"timm_model_name": "test_vit", "image_size": 160}
            config["text_cfg"] |= {"vocab_size": 512}
    return config


def write_tokenizer(folder: Path) -> None:
    """A small tokenizer of Gemma's kind, as SigLIP 2's: BPE with byte fallback, ends with ``<eos>``, pads with it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))], show_progress=False
    )
    sentences = ["a photo of a cat", "two dogs run on the beach", "ein rotes Auto", "des enfants à une fête"]
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<eos>",
        "eos_token": "<eos>",
        "bos_token": "<bos>",
        "unk_token": "<unk>",
        "model_max_length": 64,
        "padding_side": "right",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(facts), "utf-8")
    tokens = {name: facts[name] for name in ("pad_token", "eos_token", "bos_token", "unk_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens), "utf-8")


def write_repository(root: Path, name: str, narrow: bool = True) -> Path:
    """The repository of an architecture, as the hub has it: ``root/org/repository/…``."""
    folder = root / REPOSITORIES[name]
    write_open_clip(folder, described(name, narrow), pictures=PICTURES[name])
    shutil.copy(folder / SAFE, folder / PICKLED)  # it has a pickle too, which nobody is to open
    (folder / "README.md").write_text("---\nlibrary_name: open_clip\n---\n", "utf-8")
    if name == GPU:
        write_tokenizer(folder)
    return folder


def main() -> None:
    """``mmsearch``; the pieces of open_clip that hold its architectures are changed before."""
    from open_clip import factory

    from mmsearch.cli.app import main as mmsearch

    for name in REPOSITORIES:
        factory._MODEL_CONFIGS[name] = described(name)
    mmsearch()


if __name__ == "__main__":
    main()
