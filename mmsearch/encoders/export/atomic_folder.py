"""Model folders that appear complete or not at all."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import draft_folder, fsync_files

ONE_FILE = 1.5e9  # bytes of weights in one .onnx file; more go to a file beside it, as protobuf ends at 2 GB
_DRAFT = ".export-"  # how the names of drafts begin
ABANDONED = 24 * 3600  # seconds after which the draft of a process that was killed is removed


def published(folder: Path, fill: Callable[[Path], None]) -> OnnxEncoder:
    """The model in ``folder``, where ``fill`` writes it to a draft beside it that takes its place when it is complete.

    Where another process was faster, its model is used; one from before there were region tokens is replaced.  Raises
    what ``fill`` raises, and ModelError when something keeps changing the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    with draft_folder(folder, _DRAFT) as draft:
        fill(draft)
        fsync_files(draft)
        return _renamed(draft, folder)


def _renamed(draft: Path, folder: Path) -> OnnxEncoder:
    """Renames the finished ``draft`` to ``folder``, unless a complete one of this version stands there already."""
    for _ in range(3):
        try:
            draft.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        with contextlib.suppress(ModelError):
            found = OnnxEncoder(folder)
            if not found.dated:
                return found
        with draft_folder(folder, _DRAFT) as wreck, contextlib.suppress(OSError):  # files were deleted, or it is dated
            folder.rename(wreck / "wreck")
    raise ModelError(f"the model cannot be written to {folder}: something keeps changing it")


def _sweep(parent: Path) -> None:
    """Removes what killed exports left behind."""
    for draft in parent.glob(f"{_DRAFT}*"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > ABANDONED:
                shutil.rmtree(draft, ignore_errors=True)
