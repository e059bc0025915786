"""Where a library is put together: the only place that chooses its parts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from mmsearch import config
from mmsearch.encoders.protocol import Encoder
from mmsearch.library.library import Library
from mmsearch.types import PathLike


def open_library(
    folder: PathLike | None = None,
    *,
    model: str | None = None,
    device: str | None = None,
    settings: config.Settings | None = None,
    encoder: Encoder | None = None,
) -> Library:
    """Open the library in ``folder``, made if absent; without one, the user's own library.

    ``model`` (of a library that is new) and ``device`` take the place of the settings'.  ``encoder`` replaces the model
    that the settings name: for models of one's own, and for tests.  Raises LibraryError, NewerLibraryError,
    ConfigError.
    """
    settings = config.load() if settings is None else settings
    if model is not None:
        settings = replace(settings, model=model)
    if device is not None:
        settings = replace(settings, device=device)
    path = settings.library if folder is None else Path(os.path.expanduser(folder)).absolute()
    return Library(path, settings, encoder=encoder)
