"""Pickled weights are refused unless somebody trusts them: a pickle can run any program when it is read.

Where they are trusted, torch reads them with ``weights_only``, which takes tensors and plain values alone.
"""

from __future__ import annotations

from mmsearch import config
from mmsearch.errors import PickledWeightsError

_HARMLESS = (".safetensors", ".onnx", ".npz", ".npy")  # numpy reads its files without pickles unless told otherwise
_asked = False


def trust() -> None:
    """From now on this process reads pickled weights."""
    global _asked
    _asked = True


def trusted() -> bool:
    """Whether somebody said so, to this process or in the settings."""
    return _asked or config.load().trust_pickle


def check(name: str, file: str) -> None:
    """Raises PickledWeightsError when the weights of the model ``name`` are a pickle that nobody trusts."""
    if not file.endswith(_HARMLESS) and not trusted():
        raise PickledWeightsError(name, file)
