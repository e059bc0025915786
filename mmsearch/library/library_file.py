"""A file that names the parts of a library, such as ``mmsearch.toml``::

    metadata = "postgresql://me@db/photos"
    vectors = "http://milvus:19530"
    blobs = "s3://bucket/photos"

It stands wherever the folder or the address of a library may stand.  What it leaves out is as in the settings.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mmsearch import config
from mmsearch.errors import ConfigError
from mmsearch.media.filesystem import read_text

if TYPE_CHECKING:  # completion does without NumPy
    from mmsearch.types import PathLike

NAMES = ("metadata", "vectors", "vectors_token", "blobs")
_FILE = "file:"


def located(place: PathLike | None, settings: config.Settings) -> tuple[str | Path, config.Settings]:
    """Where a library is, a folder or the address of a server, and the settings with what its file says.

    ``place`` is either, or the file; without one, it is that of the settings.  Raises ConfigError for a file that
    cannot be used; no value of it is repeated that may hold a password.
    """
    place = (settings.address or settings.library) if place is None else os.fspath(place)
    if config.is_address(place):
        return place, settings
    path = Path(os.path.expanduser(place)).absolute()
    return _parts(path, settings) if path.suffix == ".toml" and not path.is_dir() else (path, settings)


def _parts(file: Path, settings: config.Settings) -> tuple[str | Path, config.Settings]:
    values = _read(file)
    metadata = _metadata(file, values.pop("metadata", None), settings)
    if "blobs" in values:
        values["blobs"] = _blobs(file, values["blobs"])
    typed = {name: config.typed(str(file), name, value) for name, value in values.items()}
    if not config.is_address(metadata):
        for name in ("vectors", "blobs"):
            if typed.get(name, "auto") != "auto":
                raise ConfigError(
                    f"{file}: {name} can be elsewhere only for a library in PostgreSQL, and this one is the folder "
                    f'{metadata}: leave {name} out, or write metadata = "postgresql://user@host/database"',
                    code="parts-of-a-folder",
                )
    return metadata, replace(settings, **typed)  # type: ignore[arg-type]  # as ``typed`` makes them


def _read(file: Path) -> dict[str, str]:
    """What stands in the file, by name."""
    try:
        found = config.parsed(read_text(file))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {file}; it is to name the parts of a library, such as "
            'metadata = "postgresql://user@host/database"',
            code="no-library-file",
            file=str(file),
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    for name, value in found.items():
        if name not in NAMES:
            import difflib

            near = difflib.get_close_matches(name, NAMES, 1)
            meant = f"; did you mean {near[0]}?" if near else ";"
            raise ConfigError(f"{file}: {name!r} is no part of a library{meant} There are: {', '.join(NAMES)}")
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{file}: {name} must be a text in quotes")
    return found


def _metadata(file: Path, value: str | None, settings: config.Settings) -> str | Path:
    """The folder, or the address of a server; by default that of the settings, if that is no such file."""
    if value is None:
        own = settings.address or settings.library
        return config.Settings().library if isinstance(own, Path) and own.suffix == ".toml" else own
    if config.is_address(value):
        return value
    if ("://" in value and not value.startswith(_FILE)) or not _has_no_host(value):
        raise ConfigError(f"{file}: metadata must be a folder, or postgresql://user@host/database")
    folder = _path(file, value)
    if folder.suffix == ".toml" and not folder.is_dir():
        raise ConfigError(f"{file}: metadata must be a folder or an address, not another file of this kind")
    return folder


def _blobs(file: Path, value: str) -> str:
    """A folder is written with its whole path."""
    named = value.startswith(_FILE) and value.removeprefix(_FILE).strip("/")
    return f"{_FILE}//{_path(file, value)}" if named and _has_no_host(value) else value


def _has_no_host(value: str) -> bool:
    rest = value.removeprefix(_FILE)
    return rest.startswith("///") or not rest.startswith("//")


def _path(file: Path, value: str) -> Path:
    """What a path in the file means: relative ones are beside it."""
    if value.startswith(_FILE):
        value = unquote(value.removeprefix(_FILE))
        value = value[2:] if value.startswith("///") else value
    return Path(os.path.normpath(file.parent / os.path.expanduser(value)))
