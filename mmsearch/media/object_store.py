"""Pictures in an object store, or on a web server: listed, looked at and opened, by obstore.

The only module that knows obstore, which is an extra.  What goes wrong is an OSError with a plain reason.  How a store
is reached and who asks it is in the usual variables of the environment (``docs/buckets.md``).
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from mmsearch.errors import MMSearchError, SourceError
from mmsearch.media.remote_path import BUCKETS, is_single, parts
from mmsearch.types import Found, Skipped

if TYPE_CHECKING:
    from types import ModuleType

    from obstore import GetOptions
    from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store
    from typing_extensions import Buffer

    _Store: TypeAlias = AzureStore | GCSStore | HTTPStore | S3Store

WHOLE = 16 * 2**20  # bytes; a larger file is read in parts
PART = 4 * 2**20  # bytes that are asked for at a time; at 35 kB/s they come within the time for one request
KEPT_PARTS = 4  # of each open file
STORES = 64  # clients that are kept, each with its connections
_PLAIN_PATH = re.compile(r"(?:[\w~-][\w.~-]*/)*[\w~-][\w.~-]*", re.ASCII)  # written the same whoever encodes it
_ENVIRONMENT = ("AWS_", "AZURE_", "GOOGLE_")


@dataclass(frozen=True)
class Limits:
    """How long a store is waited for; one that is busy or breaks off is asked again, after longer and longer times."""

    connect: float = 10.0  # seconds
    answer: float = 120.0  # seconds for one request, with what it sends
    retries: int = 5
    longest: float = 15.0  # seconds between two tries
    together: float = 180.0  # seconds after which nothing is tried again


LIMITS = Limits()


def need() -> ModuleType:
    """obstore.  Raises MMSearchError, code ``needs-objects``, where it is not installed."""
    try:
        return import_module("obstore")
    except ImportError as error:
        raise MMSearchError(
            f"pictures in an object store or on a web server need obstore; run: pip install 'mmsearch[objects]' "
            f"({error})",
            code="needs-objects",
            extra="objects",
        ) from error


def open_remote(path: str, limits: Limits = LIMITS) -> io.BytesIO | io.BufferedReader:
    """The file at an address, to be read as any other: in memory, or in parts as they are read where it is large.

    Raises OSError: FileNotFoundError, PermissionError, or with what else is wrong.
    """
    with _explained(path):
        store, key = _store(path, limits)
        got = need().get(store, key)
        seen = _found(path, got.meta)
        if seen.size <= WHOLE:
            content = bytes(got.bytes())
            if len(content) != seen.size:
                raise OSError(errno.EIO, _CUT, path)
            return _Whole(content, seen)
        return io.BufferedReader(_Parts(store, key, seen, got.meta["e_tag"]), 2**17)


def status(path: str, limits: Limits = LIMITS) -> Found:
    """Size and time of the file at an address, by one request.  Raises OSError."""
    obstore = _needed(path)
    with _explained(path):
        store, key = _store(path, limits)
        if not is_single(path):
            return _found(path, obstore.head(store, key))
        try:
            return _found(path, obstore.head(store, key))
        except (FileNotFoundError, obstore.exceptions.BaseError):
            return _found(path, obstore.get(store, key).meta)  # not every server, and no signed address, answers HEAD


def check(root: str, limits: Limits = LIMITS) -> None:
    """Raises SourceError where nothing is at or below an address, or nobody can tell; MMSearchError without obstore."""
    need()
    try:
        if next(listed(root, limits), None) is None and parts(root)[2]:
            raise SourceError(f"{root}: no such file or folder")
    except OSError as error:
        raise SourceError(f"{root}: {error.strerror or error}") from error


def listed(root: str, limits: Limits = LIMITS) -> Iterator[Found | Skipped]:
    """Every file at and below an address, whatever it is, in the order in which the store has them.

    A folder in which a name cannot be asked for, such as one between two slashes that is empty, is ``Skipped``, where
    nobody knows which files are in it.  Raises OSError where the store does not answer, also in the middle.
    """
    scheme, place, key = parts(root)
    if scheme not in BUCKETS:
        yield status(root, limits)
        return
    obstore, single = _needed(root), False
    refused: OSError | None = None
    if key:
        try:
            yield status(root, limits)
            single = True
        except FileNotFoundError:
            pass
        except PermissionError as error:  # who may only list
            refused = error
    store, begin = None, f"{scheme}://{place}/"
    anything = False
    try:
        with _explained(root):
            store, _ = _store(begin, limits)
            for chunk in obstore.list(store, key or None, chunk_size=1000):
                for meta in chunk:
                    anything = True
                    yield _found(begin + meta["path"], meta)
    except _OddName:
        yield from _by_folders(store, begin, key)
        return
    if refused is not None and not anything and not single:
        raise refused


def _by_folders(store: Any, begin: str, key: str) -> Iterator[Found | Skipped]:
    """What ``listed`` gives, a request a folder: one with a name that obstore refuses hides no other."""
    obstore, folders = need(), [key]
    while folders:
        folder = folders.pop()
        where = (begin + folder).rstrip("/")
        try:
            with _explained(where):
                inside = obstore.list_with_delimiter(store, folder or None)
        except OSError as error:
            yield Skipped(where, error.strerror or str(error))
            continue
        for meta in inside["objects"]:
            yield _found(begin + meta["path"], meta)
        folders.extend(reversed(inside["common_prefixes"]))


class _Whole(io.BytesIO):
    """A file in memory, as it was ``seen``."""

    def __init__(self, content: bytes, seen: Found) -> None:
        super().__init__(content)
        self.seen = seen


class _Parts(io.RawIOBase):
    """A file of which the parts that are read are asked for; all are of what was ``seen`` when it was opened."""

    def __init__(self, store: _Store, key: str, seen: Found, etag: str | None) -> None:
        super().__init__()
        self.seen = seen
        self._store, self._key, self._place = store, key, 0
        self._etag = etag if etag and not etag.startswith("W/") else None
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.seen.size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._place = start + offset
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        if self._place >= self.seen.size:
            return 0
        number, offset = divmod(self._place, PART)
        content = self._part(number)[offset : offset + len(view)]
        view[: len(content)] = content
        self._place += len(content)
        return len(content)

    def _part(self, number: int) -> bytes:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        start, path = number * PART, self.seen.path
        end = min(start + PART, self.seen.size)
        options: GetOptions = {"range": (start, end)}
        if self._etag is not None:
            options["if_match"] = self._etag
        with _explained(path):
            got = need().get(self._store, self._key, options=options)
            if _found(path, got.meta) != self.seen:
                raise OSError(errno.EIO, _CHANGED, path)
            content = bytes(got.bytes())
        if len(content) != end - start:
            raise OSError(errno.EIO, _CUT, path)
        self._kept[number] = content
        while len(self._kept) > KEPT_PARTS:
            self._kept.popitem(last=False)
        return content


def _found(path: str, meta: Any) -> Found:
    """In whole seconds: a listing may say more of a time than an answer does, and they are compared."""
    return Found(path, meta["size"], int(meta["last_modified"].timestamp()) * 10**9)


def _store(path: str, limits: Limits) -> tuple[_Store, str]:
    """The client that asks for an address, and the key to give it.  Raises OSError for the address of no file."""
    scheme, place, key = parts(path)
    if os.getpid() != _first_process():
        raise OSError(errno.EIO, "this process was forked after a store was asked: start it anew (spawn)", path)
    if scheme in BUCKETS:
        return _bucket(scheme, place, limits, _environment()), key
    if _PLAIN_PATH.fullmatch(key):
        return _server(f"{scheme}://{place}", limits), key
    return _server(path, limits), ""  # as it is written: with a query, with its own percent signs


@cache
def _first_process() -> int:
    """The process that asked first: the threads of obstore are lost to those that are forked from it."""
    return os.getpid()


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)))


@lru_cache(STORES)
def _bucket(scheme: str, name: str, limits: Limits, _: tuple[tuple[str, str], ...]) -> _Store:
    """The client of a bucket, which finds its settings in the environment that ``_`` stands for."""
    need()
    from obstore.store import AzureStore, GCSStore, S3Store

    stores: dict[str, Callable[..., _Store]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    return stores[scheme](name, **_options(limits))


@lru_cache(STORES)
def _server(address: str, limits: Limits) -> _Store:
    need()
    from obstore.store import HTTPStore

    return HTTPStore.from_url(address, **_options(limits))


def _options(limits: Limits) -> dict[str, Any]:
    return {
        "client_options": {
            "allow_http": True,  # who writes http:// in an address or an endpoint means it
            "connect_timeout": timedelta(seconds=limits.connect),
            "timeout": timedelta(seconds=limits.answer),
            "user_agent": "mmsearch",
        },
        "retry_config": {
            "max_retries": limits.retries,
            "retry_timeout": timedelta(seconds=limits.together),
            "backoff": {"max_backoff": timedelta(seconds=limits.longest)},
        },
    }


def _needed(path: str) -> ModuleType:
    """obstore; OSError where it is missing, for who reads one file of many."""
    with _explained(path):
        return need()


class _OddName(OSError):
    """There is a name that obstore refuses."""


_CUT = "the connection broke off in the middle"
_CHANGED = "it was changed while it was read"
# What stands in an error -> what it means, the first that fits.
_MEANINGS = (
    (r"169\.254\.169\.254|metadata\.google\.internal", "no keys for the store were found in the environment"),
    (r"<Code>NoSuchBucket|ContainerNotFound|bucket does not exist", "there is no such bucket"),
    (r"<Code>(InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken)", "the store does not take these keys"),
    (r"PermanentRedirect|status code: 301|301 Moved", "the bucket is in another region than AWS_REGION says"),
    (r"status code: 401", "the store wants to know who asks"),
    (r"status code: 403", "permission denied"),
    (r"status code: 410", "no such file"),
    (r"status code: (429|503)|<Code>SlowDown", "the store is too busy"),
    (r"status code: 5\d\d", "the store has a fault of its own"),
    (r"status code: 405", "the server does not send it"),
    (r"MissingContentLength", "the server does not say how large it is"),
    (r"RangeNotSupported", "it is large, and the server sends no parts of a file"),
    (r"Precondition", _CHANGED),
    (r"kind: Timeout", "the store did not answer in time"),
    (r"kind: Connect|dns error", "the store cannot be reached"),
    (r"kind: (Interrupted|Body|Decode)|body error", _CUT),
)  # fmt: skip


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turns what obstore raises into an OSError with a plain reason."""
    try:
        yield
    except MMSearchError as error:
        raise OSError(errno.ENOSYS, str(error), path) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _os_error(error, path) from error
    except Exception as error:
        if not type(error).__module__.startswith("obstore") and not isinstance(error, ValueError):
            raise
        raise _os_error(error, path) from error


def _os_error(error: Exception, path: str) -> OSError:
    text = str(error)
    first = " ".join(text.partition("\n")[0].split())
    if type(error).__name__ == "InvalidPathError" or "Could not parse path" in text:
        named = re.search(r'[Pp]ath "([^"]*)"', text)
        return _OddName(errno.EINVAL, f"it has a name that cannot be asked for: {named[1] if named else first}", path)
    known = next((meaning for pattern, meaning in _MEANINGS if re.search(pattern, text)), None)
    if isinstance(error, FileNotFoundError) and (known is None or known == "no such file"):
        return FileNotFoundError(errno.ENOENT, "no such file", path)
    status = re.search(r"status code: (\d+)[^<\n]*", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    said = " ".join(one for one in (status and status[1], code and code[1]) if one)
    reason = f"{known or first[:200]}{f' ({said})' if known and said else ''}"
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        return PermissionError(errno.EACCES, reason, path)
    return OSError(errno.EIO, reason, path)
