"""Paths of pictures in an object store or on a web server: their addresses, which are no paths of this machine.

``s3://bucket/key``, ``gs://bucket/key`` and ``az://container/key`` have the key as the store has it: nothing in it is
percent-encoded.  ``https://host/path`` is an address as a browser takes it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from mmsearch.errors import SourceError

BUCKETS = ("s3", "gs", "az")
SCHEMES = (*BUCKETS, "http", "https")
_REMOTE = re.compile(r"(s3|gs|az|https?)://", re.IGNORECASE)
_ENDS = {"s3": "bucket", "gs": "bucket", "az": "container"}


def is_remote(path: object) -> bool:
    """Whether a path is such an address; a ``Path`` never is."""
    return isinstance(path, str) and _REMOTE.match(path) is not None


def is_single(path: str) -> bool:
    """Whether an address is always one file: nobody can list a web server."""
    return path.startswith("http")


def normal(address: str) -> str:
    """The one way in which the library writes an address.  Raises SourceError for one that leads nowhere."""
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    if "\0" in rest or "\n" in rest:
        raise SourceError(f"{address!r}: no address has such characters")
    if scheme not in BUCKETS:
        rest = rest.partition("#")[0]
        host, slash, path = rest.partition("/")
        if not host:
            raise SourceError(f"{address}: no host is named")
        return f"{scheme}://{host.lower()}{slash}{path}"
    place, *names = rest.rstrip("/").split("/")
    if not place:
        raise SourceError(f"{address}: no {_ENDS[scheme]} is named")
    if wrong := [name for name in names if name in ("", ".", "..")]:
        what = "an empty name" if not wrong[0] else repr(wrong[0])
        raise SourceError(f"{address}: {what} between slashes cannot be asked for")
    return "/".join([f"{scheme}://{place}", *names])


def parts(address: str) -> tuple[str, str, str]:
    """The scheme, the bucket or host, and the rest without its first slash, of an address in its one way."""
    scheme, _, rest = address.partition("://")
    place, _, key = rest.partition("/")
    return scheme, place, key


def file_name(path: str) -> str:
    """The name of a file, wherever it lies: of an address of the web without its query."""
    if is_remote(path) and is_single(path):
        return unquote(os.path.basename(path.partition("?")[0])) or parts(path)[1]
    return path.rpartition("/")[2] if is_remote(path) else os.path.basename(path)


def link(path: str) -> str:
    """What a click on a file opens: ``file://``, or the address itself, percent-encoded."""
    if not is_remote(path):
        return Path(path).as_uri()
    return path if is_single(path) else quote(path, safe=":/")


def real(path: str) -> str:
    """One name for one file: of this machine with links followed; an address as it is."""
    return path if is_remote(path) else os.path.realpath(path)


def is_absolute(path: str) -> bool:
    """Whether a path means the same file wherever a program runs: an address, or one of this machine from its root."""
    return is_remote(path) or os.path.isabs(path)
