"""What models there are, and where: the list that ``mmsearch models`` shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmsearch.encoders import registry
from mmsearch.encoders.onnx_encoder import OnnxEncoder
from mmsearch.encoders.registry import Pretrained
from mmsearch.encoders.resolve import EMBEDDED, exports
from mmsearch.errors import ModelError


@dataclass(frozen=True)
class ModelInfo:
    """One model that can be asked for by name."""

    name: str
    dim: int | None  # of its vectors; None where only loading the model would tell
    image_size: int | None  # pixels a side; likewise
    bytes: int | None  # on this disk; None when it is not here
    where: Literal["embedded", "exported", "downloaded", "hub"]  # the quickest place it can be had from


def available(
    cache: Path, full: bool = False, defaults: Iterable[str] = (), embedded_folder: Path = EMBEDDED
) -> list[ModelInfo]:
    """The embedded model, the exported and the downloaded ones, and ``defaults``; with ``full`` all of open_clip's.

    Each name comes once, with the first of these places that has it.  Imports neither torch nor open_clip.
    """
    found: dict[str, ModelInfo] = {}
    try:
        found["embedded"] = _folder_info(OnnxEncoder(embedded_folder), "embedded")
    except ModelError:  # a checkout without its weights
        pass
    for encoder in exports(cache):
        found.setdefault(encoder.card.name, _folder_info(encoder, "exported"))
    wanted = {registry.find(name).name for name in defaults if name not in ("auto", "embedded")}
    for entry in registry.entries():
        file = registry.weights(registry.find(entry.name))
        if file is not None or entry.name in wanted or full:
            found.setdefault(entry.name, _entry_info(entry, file))
    return list(found.values())


def _folder_info(encoder: OnnxEncoder, where: Literal["embedded", "exported"]) -> ModelInfo:
    card = encoder.card
    size = sum(file.stat().st_size for file in encoder.folder.iterdir() if file.is_file())
    return ModelInfo(card.name, card.dim, card.preprocess.size, size, where)


def _entry_info(entry: Pretrained, file: Path | None) -> ModelInfo:
    facts = registry.architecture(entry.model)
    size = facts.get("vision_cfg", {}).get("image_size")
    return ModelInfo(
        entry.name,
        facts.get("embed_dim"),
        size if isinstance(size, int) else None,
        file.stat().st_size if file is not None else None,
        "hub" if file is None else "downloaded",
    )
