"""Packages of extras, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmsearch.errors import MMSearchError


def needed(name: str, extra: str, why: str) -> Any:
    """The module of this name; ``why`` begins the sentence of the error.

    Raises MMSearchError, code ``needs-`` and the extra, where it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MMSearchError(
            f"{why} needs {name.partition('.')[0]}; run: pip install 'mmsearch[{extra}]' ({error})",
            code=f"needs-{extra}",
            extra=extra,
        ) from error
