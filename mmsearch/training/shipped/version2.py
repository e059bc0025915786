"""The towers of version 2 of the embedded model, which version 3 starts from.

Version 2 had one branch; its reranker brought a second pair of towers, trained in the same way on another backbone,
without their poolings: the image backbone in ``regions.onnx``, the upper text layers in ``words.onnx``.  Both folders
are in the history of this repository: ``git worktree add V2 ef8f4b6``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from mmsearch.encoders.export import graphs, model_folder, region_graph
from mmsearch.encoders.torch.embedded_towers import EmbeddedConfig, ImageTower, TextTower, fold_batch_norms
from mmsearch.encoders.torch.projection import Projection
from mmsearch.errors import ModelError

ENCODER, RERANKER = Path("mmsearch/encoders/weights/embedded"), Path("mmsearch/rerank/weights/embedded")


def towers(checkout: Path, branch: int, dim: int, seed: int) -> tuple[ImageTower, TextTower, EmbeddedConfig]:
    """The towers of a branch with poolings of ``dim``; those of branch 0 keep theirs where the dimensions fit.

    ``checkout`` is a checkout of the project with version 2.  Raises ModelError.
    """
    images, texts, config, _ = model_folder.read(checkout / ENCODER)
    seen, read = images.state_dict(), texts.state_dict()
    if branch == 1:
        facts, seen = _second(checkout / ENCODER / "regions.onnx")
        config = replace(config, image_backbone=facts["backbone"], backbone_size=facts["size"])
        read |= _words(checkout / RERANKER / "words.onnx")
    if branch == 1 or config.dim != dim:
        seen, read = (
            {name: value for name, value in state.items() if not name.startswith("pool.")} for state in (seen, read)
        )
    config = replace(config, dim=dim)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = ImageTower(config), TextTower(config)
    fold_batch_norms(made[0])
    for tower, state in zip(made, (seen, read), strict=True):
        lacking, strange = tower.load_state_dict(state, strict=False)
        if strange or any(not name.startswith("pool.") for name in lacking):
            raise ModelError(f"{checkout} has no weights of version 2: {[*lacking, *strange][:3]}")
    return *made, config


def projection(checkout: Path) -> Projection:
    """The map to region tokens, which stays what it is: both backbones do."""
    folder = checkout / ENCODER
    made = region_graph.read(folder)
    assert made.second is not None
    return made


def _second(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the second backbone is, and its weights, named as in an ``ImageTower``."""
    part = onnx.load(file)
    facts = next((json.loads(entry.value) for entry in part.metadata_props if entry.key == "second"), None)
    if facts is None:
        raise ModelError(f"{file} is not that of version 2: it has no second backbone")
    state = {}
    for tensor in part.graph.initializer:
        name, _, kind = tensor.name.removeprefix("second/second.images.").partition(":")
        if tensor.name.startswith("second/second.images.") and kind in ("", "half"):
            state[name] = torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32).copy())
    return facts, state


def _words(file: Path) -> dict[str, Tensor]:
    """The upper text layers of the second pair of towers."""
    return {
        name.removeprefix("words/tower."): value
        for name, value in graphs.read_weights(file).items()
        if name.startswith("words/tower.")
    }
