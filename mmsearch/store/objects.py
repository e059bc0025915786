"""Packs of bytes in an object store, or in a folder: written once, read in ranges, listed and deleted.

obstore speaks to S3, GCS, Azure and folders alike, waits between its tries, and gives up in time.  What it raises
becomes LibraryError here.  Keys are relative to the place that a person named, such as ``s3://bucket/prefix``.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError  # another one before Python 3.11
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mmsearch.errors import LibraryError
from mmsearch.media.filesystem import fsync
from mmsearch.store import limit

UNREACHABLE = "blobs-unreachable"  # code of a LibraryError: the object store does not answer as it should
MISSING = "blobs-missing"  # as well: what the library names is not there
GAP = 64 * 1024  # bytes between two ranges that are read together: a request costs as much as some 100 kB
AT_ONCE = 16  # requests on their way together
PAGE = 1_000  # objects that are listed together
TRIES = 3  # of an upload: each under another name, so that one whose answer was lost is no obstacle
_TOO_SHORT = re.compile("416 |InvalidRange|StartTooLarge|range was invalid")  # what is asked for begins behind the end
_SECRETS = re.compile(r"\?[^\s\"'<>]*|(?<=//)[^/\s@]+@")  # of addresses in what servers and libraries say


@dataclass(frozen=True)
class Patience:
    """How long an answer is waited for, in seconds, and how often it is asked for again."""

    connect: float = 5.0
    read: float = 10.0  # of some 100 kB, by a search that a person waits for
    write: float = 60.0  # of 4 MB, written or read whole
    retries: int = 3
    retrying: float = 15.0  # after that nothing is tried again
    pause: float = 0.1  # before the second try; each one after that takes twice as long, two seconds at most


@dataclass(frozen=True)
class Listed:
    """An object that is there."""

    key: str
    size: int  # bytes
    written: datetime  # by the clock of the store


class Objects:
    """What is in one place.  Safe from several threads; nothing is asked of the store before the first call."""

    def __init__(self, place: str, patience: Patience = Patience()) -> None:  # it is frozen
        self.place, self._patience = place, patience
        self._stores: dict[str, Any] = {}  # what for -> the client
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    def close(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, None
            self._stores = {}
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    def put_new(self, name: Callable[[], str], data: bytes) -> str:
        """Store bytes under a new key, which is returned; ``name`` makes one that nobody had, for each try."""
        with self._asked():
            import obstore
            from obstore.exceptions import AlreadyExistsError, BaseError

            for last in (*(False,) * (TRIES - 1), True):
                key = name()
                try:
                    obstore.put(self._store("write"), key, data, mode="create")
                except (BaseError, OSError) as error:
                    # A try whose answer was lost may have stored it: then there is an orphan, which is found later.
                    if last or not (isinstance(error, AlreadyExistsError) or _passes(error)):
                        raise
                    continue
                self._keep(key)
                return key
        raise AssertionError("the last try returns or raises")

    def put(self, key: str, data: bytes) -> None:
        """Store bytes under a key, in place of what it has."""
        with self._asked():
            import obstore

            obstore.put(self._store("write"), key, data)
            self._keep(key)

    def _keep(self, key: str) -> None:
        """What a commit names must outlive a power cut, as the commit does."""
        if self._folder is not None:
            fsync(self._folder / key)
            fsync((self._folder / key).parent)

    def read(self, wanted: Mapping[str, Sequence[tuple[int, int]]]) -> dict[tuple[str, int], bytes]:
        """Ranges by key, (start, length) each, none of them empty: key and start -> the bytes.

        Near ones of an object are read together, and objects at once.  Of one that is not there nothing is returned; of
        one that is too short fewer bytes.  A search waits no longer than its limit says.
        """
        jobs = [(key, start, end) for key, ranges in wanted.items() for start, end in merged(ranges)]
        blocks: dict[str, list[tuple[int, bytes]]] = {}
        for (key, start, _), block in zip(jobs, self._ranges(jobs), strict=True):
            if block is not None:
                blocks.setdefault(key, []).append((start, block))
        found = {}
        for key, ranges in wanted.items():
            for start, length in ranges:
                for begins, block in blocks.get(key, ()):
                    if begins <= start < begins + len(block):
                        found[key, start] = block[start - begins : start - begins + length]
        return found

    def _ranges(self, jobs: Sequence[tuple[str, int, int]]) -> Iterator[bytes | None]:
        """What each job reads, in their order; many are on their way at once."""
        seconds = limit.left()
        if seconds is None and len(jobs) == 1:
            return map(self._range, jobs)
        return self._within(self._pool().map(self._range, jobs, timeout=seconds), seconds)

    def _within(self, read: Iterator[bytes | None], seconds: float | None) -> Iterator[bytes | None]:
        with limit.waiting():
            try:
                yield from read
            except FutureTimeoutError:  # those that are on their way come to an end of their own
                raise LibraryError(
                    f"blobs at {self.place}: it does not answer within {seconds:.1f} s, which a search has left for it",
                    code=UNREACHABLE,
                ) from None

    def _range(self, job: tuple[str, int, int]) -> bytes | None:
        key, start, end = job
        with self._asked():
            import obstore
            from obstore.exceptions import BaseError

            try:
                return bytes(obstore.get_range(self._store("search"), key, start=start, end=end))
            except FileNotFoundError:
                return None
            except BaseError as error:
                if _TOO_SHORT.search(str(error)):
                    return b""
                raise

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        with self._asked():
            import obstore

            try:
                obstore.head(self._store("search"), key)
            except FileNotFoundError:
                return False
            return True

    def get(self, key: str, use: str = "care") -> bytes | None:
        """All bytes of an object; None where there is none.  For a ``use`` of "search" a person waits."""
        with self._asked():
            import obstore

            try:
                return bytes(obstore.get(self._store(use), key).bytes())
            except FileNotFoundError:
                return None

    def listed(self, folder: str) -> Iterator[list[Listed]]:
        """What is below a folder, some at a time, in any order."""
        with self._asked():
            import obstore
            from obstore.exceptions import BaseError

            last, tries = None, TRIES
            while True:
                try:
                    for page in obstore.list(self._store("care"), folder, offset=last, chunk_size=PAGE):
                        yield [Listed(one["path"], one["size"], one["last_modified"]) for one in page]
                        last = page[-1]["path"]
                    return
                except BaseError as error:  # an answer that breaks off is not asked for again by obstore
                    tries -= 1
                    if not tries or self._folder is not None or not _passes(error):  # a folder knows no order
                        raise

    def delete(self, keys: Sequence[str]) -> None:
        """Delete these; those that are not there are no error."""
        with self._asked():
            import obstore

            store = self._store("care")
            if self._folder is None:
                if keys:
                    obstore.delete(store, list(keys))
                return
            for key in keys:  # a folder stops at the first that is not there
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(store, key)

    @property
    def _folder(self) -> Path | None:
        parts = urlsplit(self.place)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(AT_ONCE, "mmsearch-blobs")
            return self._threads

    def _store(self, use: str) -> Any:
        """The client of obstore, made when it is needed first."""
        with self._lock:
            if use not in self._stores:
                self._stores[use] = self._made(use)
            return self._stores[use]

    def _made(self, use: str) -> Any:
        from obstore import store as kinds

        if self._folder is not None:
            return kinds.LocalStore(prefix=self._folder, mkdir=use == "write")
        parts, patience = urlsplit(self.place), self._patience
        endpoints = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
        plain = any(os.environ.get(name, "").startswith("http://") for name in endpoints)  # who names it wants it
        client: dict[str, Any] = {
            "timeout": timedelta(seconds=patience.read if use == "search" else patience.write),
            "connect_timeout": timedelta(seconds=patience.connect),
            **({"allow_http": True} if parts.scheme == "s3" and plain else {}),
        }
        backoff = {
            "init_backoff": timedelta(seconds=patience.pause),
            "max_backoff": timedelta(seconds=max(2.0, patience.pause)),
            "base": 2,
        }
        retry: dict[str, Any] = {
            "max_retries": patience.retries,
            "retry_timeout": timedelta(seconds=patience.retrying),
            "backoff": backoff,
        }
        kind = {"s3": kinds.S3Store, "gs": kinds.GCSStore, "az": kinds.AzureStore}[parts.scheme]
        prefix = unquote(parts.path).strip("/") or None
        return kind(parts.netloc, prefix=prefix, client_options=client, retry_config=retry)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Turns what obstore raises into errors that say what to do."""
        try:
            from obstore.exceptions import BaseError
        except ImportError as error:
            raise LibraryError(
                f"blobs in an object store need more: pip install 'mmsearch[objects]' ({error})", code="needs-objects"
            ) from error
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise LibraryError(f"blobs at {self.place}: {_meant(error)}", code=UNREACHABLE) from None


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges, (start, length) each, as (start, end) of what is read: those with a small gap between them together."""
    spans: list[tuple[int, int]] = []
    for start, length in sorted(ranges):
        if spans and start - spans[-1][1] <= GAP:
            spans[-1] = spans[-1][0], max(spans[-1][1], start + length)
        else:
            spans.append((start, start + length))
    return spans


def _passes(error: Exception) -> bool:
    """Whether another try may help: nobody answered, or not as it should."""
    return type(error).__name__ in ("GenericError", "JoinError")


def _meant(error: Exception) -> str:
    said = _SECRETS.sub("", str(error).partition("\n")[0])[:300]
    kind = type(error).__name__
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or isinstance(error, PermissionError):
        return f"this user may not do that there; check its credentials and rights ({said})"
    if isinstance(error, FileNotFoundError) or "NoSuchBucket" in str(error):
        return f"there is no such bucket or folder ({said})"
    return f"it does not answer as it should; check address, network and credentials, and try again ({said})"
