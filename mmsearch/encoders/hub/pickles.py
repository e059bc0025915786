"""Pickled weights are refused unless somebody trusts them: a pickle can run any program when it is read.

Where they are trusted, torch reads them with ``weights_only``, which takes tensors and plain values alone.
"""

from __future__ import annotations

from mmsearch.errors import PickledWeightsError

_HARMLESS = (
    ".safetensors",
    ".onnx",
    ".npz",
    ".npy",
    ".json",
)  # numpy reads its files without pickles unless told otherwise


def check(name: str, file: str, trusted: bool) -> None:
    """Raises PickledWeightsError when the weights of the model ``name`` are a pickle and not ``trusted``."""
    if not trusted and not file.endswith(_HARMLESS):
        raise PickledWeightsError(name, file)
