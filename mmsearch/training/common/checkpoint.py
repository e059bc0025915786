"""A run on disk: what it is (``run.json``), where it stands (``checkpoint.pt``), and the best weights so far.

Files are written under another name, flushed to the disk and renamed: a kill leaves the old one or the new one.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmsearch.errors import TrainingError
from mmsearch.media.filesystem import atomic_write, read_text

FORMAT = 1


class Run:
    """The state of a run in ``out/run``."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / "run"

    @property
    def cache(self) -> Path:
        """For what can be computed again."""
        return self.out / "cache"

    @property
    def log(self) -> Path:
        return self.out / "log.jsonl"

    def start(self, facts: dict[str, Any]) -> None:
        """A new run.  Raises TrainingError when the folder has something in it already."""
        check_new(self.out)
        self.folder.mkdir(parents=True)
        self.cache.mkdir()
        self._facts({"format": FORMAT, "finished": False, **facts})

    def facts(self) -> dict[str, Any]:
        """What ``start`` was given.  Raises TrainingError when there is no run here."""
        try:
            found: dict[str, Any] = json.loads(read_text(self.folder / "run.json"))
        except FileNotFoundError as error:
            raise TrainingError(f"{self.out} holds no run that could be resumed", code="no-run") from error
        except (OSError, ValueError) as error:
            raise TrainingError(f"{self.folder / 'run.json'} cannot be read: {error}") from error
        if found.get("format") != FORMAT:
            raise TrainingError(f"the run in {self.out} was made by another version of mmsearch; start a new one")
        return found

    def unfinished(self) -> dict[str, Any]:
        """As ``facts``.  Raises TrainingError when the run is finished, too."""
        found = self.facts()
        if found["finished"]:
            raise TrainingError(f"the run in {self.out} is finished; there is nothing to resume")
        return found

    def save(self, state: dict[str, Any]) -> None:
        self._tensors("checkpoint.pt", state)

    def save_best(self, weights: dict[str, Any]) -> None:
        self._tensors("best.pt", weights)

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint; None before the first."""
        return self._read("checkpoint.pt")

    def load_best(self) -> dict[str, Any] | None:
        return self._read("best.pt")

    def finish(self, keep_cache: bool = False) -> None:
        """The model is written: weights of the optimizer and features are not needed any more."""
        self._facts({**self.facts(), "finished": True})
        for name in ("checkpoint.pt", "best.pt"):
            (self.folder / name).unlink(missing_ok=True)
        if not keep_cache:
            shutil.rmtree(self.cache, ignore_errors=True)

    def _facts(self, facts: dict[str, Any]) -> None:
        atomic_write(self.folder / "run.json", (json.dumps(facts, indent=2) + "\n").encode())

    def _tensors(self, name: str, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        atomic_write(self.folder / name, buffer.getvalue())

    def _read(self, name: str) -> dict[str, Any] | None:
        file = self.folder / name
        if not file.exists():
            return None
        try:
            found: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"{file} cannot be read ({reason}); remove {self.out} and train anew") from error
        return found


def weights_hash(module: nn.Module) -> str:
    """16 hex digits over all weights: whether a resumed run stands on the model it stood on."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def check_new(out: Path) -> None:
    """Raises TrainingError when ``out`` is not a place for a new run."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if (out / "run" / "run.json").exists():
        if Run(out).facts()["finished"]:
            raise TrainingError(f"{out} holds a model that is trained already", code="folder-taken")
        raise TrainingError(f"{out} holds a run already", code="run-exists")
    raise TrainingError(f"{out} exists and is no training run", code="folder-taken")
