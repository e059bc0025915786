"""ONNX exports of open_clip models that others publish: which files a folder or repository of them has.

The layout is that of https://huggingface.co/immich-app: a graph a tower, each in a folder of its own with the weights
that do not fit into it, and beside them how pictures are prepared, the tokenizer, and open_clip's description of the
architecture.  ``onnx/published.py`` runs them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

VISUAL, TEXTUAL = "visual/model.onnx", "textual/model.onnx"
# Where each may lie; the first that is there is read.
PREPROCESS = ("visual/preprocess_cfg.json", "preprocess_cfg.json")
TOKENIZER = ("textual/tokenizer.json", "tokenizer.json")
TOKENIZER_CONFIG = ("textual/tokenizer_config.json", "tokenizer_config.json")
CONFIG = ("config.json",)
_OWN = "open_clip_config.json"  # of a model with open_clip's weights, which are taken where there are both
_NO_WEIGHTS = (".json", ".txt", ".md", ".py", ".armnn", ".rknn")  # beside the graphs: texts, graphs for other runtimes


def is_layout(folder: Path) -> bool:
    """Whether a folder holds such a model."""
    return _fits(lambda name: (folder / name).is_file())


def files_of(names: Iterable[str]) -> list[str]:
    """Which of the files of a repository are needed; empty where it holds no such model.

    The graphs come last: where they are, the rest is.
    """
    known = set(names)
    if not _fits(known.__contains__):
        return []
    choices = (CONFIG, PREPROCESS, TOKENIZER, TOKENIZER_CONFIG)
    described = [next((name for name in choice if name in known), "") for choice in choices]
    return [
        *filter(None, described),
        *sorted(filter(_is_weights, known), key=lambda name: (name in (VISUAL, TEXTUAL), name)),
    ]


def weights_of(folder: Path) -> list[str]:
    """The graphs in a folder, and the files that hold the rest of their weights."""
    names = (f"{top}/{file.name}" for top in ("textual", "visual") for file in sorted((folder / top).iterdir()))
    return [name for name in names if _is_weights(name) and (folder / name).is_file()]


def found(folder: Path, choices: Iterable[str]) -> Path | None:
    """The first of these files that there is."""
    return next((folder / name for name in choices if (folder / name).is_file()), None)


def _fits(has: Callable[[str], bool]) -> bool:
    return has(VISUAL) and has(TEXTUAL) and not has(_OWN)


def _is_weights(name: str) -> bool:
    path = PurePosixPath(name)
    return str(path.parent) in ("visual", "textual") and path.suffix not in _NO_WEIGHTS and path.name[0] != "."
