"""Packages of extras, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmsearch.errors import MMSearchError


def needed(name: str, extra: str | None, why: str) -> Any:
    """The module of this name; ``why`` begins the sentence of the error.

    Raises MMSearchError, code ``needs-`` and the extra, or the package where no extra has it, where it is not there.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        wanted = package if extra is None else f"'mmsearch[{extra}]'"
        raise MMSearchError(
            f"{why} needs {package}; run: pip install {wanted} ({error})", code=f"needs-{extra or package}", extra=extra
        ) from error
