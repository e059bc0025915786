"""Where the tests' photos come from, a copy of the embedded model, and the type of the ``mmsearch`` fixture."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import skimage

from mmsearch.encoders.onnx_encoder import FILES
from mmsearch.encoders.resolve import EMBEDDED

SAMPLES = Path(skimage.__file__).parent / "data"  # photos that come with scikit-image
CLI = Callable[..., "subprocess.CompletedProcess[str]"]


def model_without_regions(folder: Path) -> Path:
    """A copy of the embedded model that gives no region tokens, as the first version's."""
    folder.mkdir(parents=True)
    for name in (*FILES, "recipe.json"):
        shutil.copy(EMBEDDED / name, folder)
    facts = json.loads((folder / "model.json").read_text("utf-8"))
    facts.pop("regions", None)
    (folder / "model.json").write_text(json.dumps(facts), "utf-8")
    return folder
