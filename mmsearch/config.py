"""Settings: defaults, then the TOML file, then ``MMSEARCH_*`` environment variables, then arguments.

The file is ``config.toml`` in the user's configuration folder (``mmsearch status`` shows which), for example::

    model = "ViT-B-32"
    max_megapixels = 400
"""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import platformdirs

from mmsearch.errors import ConfigError
from mmsearch.media.filesystem import read_text

ADDRESSES = ("postgresql://", "postgres://")  # how the address of a library on a server begins
BLOBS = ("s3", "gs", "az", "file")  # schemes of addresses of blobs
BLOBS_WANTED = "auto, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder"
_SWITCH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _library() -> Path:
    return Path(platformdirs.user_data_dir("mmsearch", appauthor=False)) / "library"


def _cache() -> Path:
    return Path(platformdirs.user_cache_dir("mmsearch", appauthor=False))


@dataclass(frozen=True)
class Settings:
    """Everything a person can set once for all commands."""

    library: Path = field(default_factory=_library)  # the default library
    cache: Path = field(default_factory=_cache)  # exported models; may be deleted
    model: str = "auto"  # of a new library
    cpu_model: str = "ViT-B-32-256/datacomp_s34b_b86k"  # what "auto" wants on a CPU
    gpu_model: str = "ViT-B-16-SigLIP2/webli"  # what "auto" wants on a GPU
    device: str = "auto"  # "auto", "cpu" or "cuda"
    precision: str = "float32"  # of an open_clip model of a new library on a CPU: "int8" is quicker and less exact
    max_megapixels: float = 200.0  # larger pictures are skipped
    batch: int = 32  # pictures encoded and stored together; at least 128 for each GPU
    decoders: int = 0  # threads that read pictures; 0 is one a core
    gpu_decoding: bool = False  # with an encoder on a GPU: large JPEGs are decoded there too
    isolate: str = "auto"  # decode in processes of their own: "always", "never", "auto" after a run that died
    regions: bool = True  # store region tokens of pictures too, 4 kB each: what a reranker looks at
    reranker: str = "auto"  # "auto": the one that ships for the library's model; "none"; or a folder
    speech: str = ""  # folder of a Whisper model of faster-whisper: what is said in films is heard with it
    recall: float = 0.95  # share of the nearest pictures that a search among very many must find; 1 compares all
    rerank_candidates: int = 100  # pictures of the first stage that are looked at again; unasked at most 30
    trust_pickle: bool = False  # read weights of models that are pickles; "true" trusts whoever made them
    # Who searches the vectors of a library in PostgreSQL: "auto" is pgvector, "memory" each machine itself,
    # "http://host:19530" that Milvus; with commas between them, the first of several addresses that answers.
    vectors: str = "auto"
    vectors_token: str = field(default="", repr=False)  # "user:password" of that Milvus, or its token
    # Where a library in PostgreSQL has its region tokens: "auto" is where it has them, at first its database;
    # "s3://bucket/prefix", "gs://…", "az://container/prefix" an object store, "file:///folder" a folder.
    blobs: str = "auto"
    postgres_pool: int = 8  # connections to a library in PostgreSQL that are kept; as many more when it is busy
    # Seconds that a search waits for servers, all of them together; 0 waits as long as they take.  Fifty times the
    # slowest of a hundred searches of 200,000 rows (docs/scale.md), and less than proxies and browsers wait.
    search_timeout: float = 10.0
    thumbnails: int = 1000  # megabytes of small pictures that are kept beside a library; 0 keeps none
    min_relevance: float = 0.0  # hits below it are left out, 0 to 1, where relevance is known; 0 shows all
    # Of the default library, where it is on a server, "postgresql://user@host/database": it goes before
    # ``library``, and may be set as that.  It may hold a password, so it is not shown.
    address: str = field(default="", repr=False)


def config_file() -> Path:
    return Path(platformdirs.user_config_dir("mmsearch", appauthor=False)) / "config.toml"


def load(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this user.  Raises ConfigError for an unknown name or a value of the wrong kind."""
    file = config_file() if file is None else file
    environment = os.environ if environment is None else environment
    known = {field.name: field.type for field in fields(Settings)}
    values: dict[str, Any] = {}
    try:
        found = parsed(read_text(file))
    except FileNotFoundError:
        found = {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    for name, value in found.items():
        if name not in known:
            raise ConfigError(f"{file}: unknown setting {name!r}; there are: {', '.join(known)}")
        name = _setting(name, str(value))
        values[name] = typed(str(file), name, value)
    for name in known:
        variable = f"MMSEARCH_{name.upper()}"
        if environment.get(variable):
            setting = _setting(name, environment[variable])
            if name == "library":
                values.pop("address", None)  # the environment goes before the file
            values[setting] = typed(variable, setting, environment[variable])
    return replace(Settings(), **values)


def is_address(place: object) -> TypeGuard[str]:
    """Whether a place of a library is one on a server, and no folder."""
    return isinstance(place, str) and place.startswith(ADDRESSES)


def blob_place(blobs: str) -> str | None:
    """Where blobs are by the setting ``blobs``, written in one way: an object store or a folder; None for "auto".

    Raises ConfigError for what is none of these; it is not repeated, because it may hold a password.
    """
    if blobs == "auto":
        return None
    parts = urlsplit(blobs)
    path = posixpath.normpath("/" + parts.path.strip("/"))
    folder = parts.scheme == "file"
    named = bool(parts.netloc) != folder and (path != "/" or not folder)
    if parts.scheme not in BLOBS or not named or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"blobs must be {BLOBS_WANTED}; keys and passwords belong into the environment")
    return f"{parts.scheme}://{parts.netloc}{path if path != '/' else ''}"


def is_milvus(vectors: str) -> bool:
    """Whether the setting ``vectors`` is the address of a Milvus."""
    return all(one.strip().startswith(("http://", "https://")) for one in vectors.split(","))


def _setting(name: str, value: str) -> str:
    return "address" if name == "library" and is_address(value) else name


def parsed(text: str) -> dict[str, Any]:
    """What stands in a text of TOML.  Raises ValueError."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    found: dict[str, Any] = tomllib.loads(text)
    return found


def typed(where: str, name: str, value: object) -> object:
    """The value of a setting, of its kind.  Raises ConfigError, which begins with ``where`` it stands."""
    default = getattr(Settings(), name)
    try:
        if isinstance(default, Path):
            return Path(os.path.expanduser(str(value))).absolute()
        if isinstance(default, str):
            converted: object = str(value)
        elif isinstance(default, bool):
            converted = _SWITCH[str(value).lower()]
        else:
            converted = type(default)(str(value))
    except (ValueError, KeyError) as error:
        kinds = {bool: "true or false", int: "a whole number"}
        kind = kinds.get(type(default), "a number")
        raise ConfigError(f"{where}: {name} must be {kind}, not {value!r}") from error
    if name == "device" and converted not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"{where}: device must be auto, cpu or cuda, not {value!r}")
    if name == "precision" and converted not in ("float32", "int8"):
        raise ConfigError(f"{where}: precision must be float32 or int8, not {value!r}")
    if name == "vectors" and converted not in ("auto", "memory") and not is_milvus(str(converted)):
        raise ConfigError(f"{where}: vectors must be auto, memory or http://host:port of a Milvus, not {value!r}")
    if name == "blobs":
        try:
            blob_place(str(converted))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    if name == "isolate" and converted not in ("auto", "always", "never"):
        raise ConfigError(f"{where}: isolate must be auto, always or never, not {value!r}")
    smallest = 0 if name in ("decoders", "min_relevance", "recall", "search_timeout", "thumbnails") else 1
    if isinstance(converted, (int, float)) and not isinstance(converted, bool) and not converted >= smallest:
        raise ConfigError(f"{where}: {name} must be at least {smallest}, not {value!r}")
    if name in ("min_relevance", "recall") and isinstance(converted, float) and converted > 1:
        raise ConfigError(f"{where}: {name} must be at most 1, not {value!r}")
    return converted
