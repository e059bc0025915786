"""Packages that only open_clip models, training and GPUs need: a light install leaves them out."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mmsearch.errors import ModelError

HEAVY = ("onnx", "onnxscript", "open_clip", "timm", "torch", "torchvision", "transformers")  # as they are imported


def lacking(names: Iterable[str] = HEAVY) -> list[str]:
    """Those of the packages that are not installed; imports none."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def not_installed(names: Iterable[str]) -> str:
    """The end of a sentence about packages that something needs."""
    *others, last = names
    return f"{', '.join(others)} and {last}, which are not installed" if others else f"{last}, which is not installed"


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Turns a failed import of one of ``HEAVY`` within into a ModelError (code ``no-packages``) about ``what``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in HEAVY:
            raise
        missing = not_installed(lacking() or [str(error.name)])
        raise ModelError(f"{what} needs {missing}", code="no-packages", extra="models") from error
