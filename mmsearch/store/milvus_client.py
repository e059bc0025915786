"""A client of Milvus: the first of several addresses that answers, and errors that say what to do."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from mmsearch.errors import LibraryError
from mmsearch.store import limit

TIMEOUT = 30.0  # seconds for an answer
KNOCK = 4.0  # seconds in which a server that is there takes a connection


class Milvus:
    """A connection to a server, which is made when it is asked for first.

    Where there are several addresses, with commas between them, it is the first one that answers; when that is lost,
    the next one.
    """

    def __init__(self, uri: str, token: str = "") -> None:
        self._uris, self._token = [one.strip() for one in uri.split(",") if one.strip()], token
        self._at = 0  # of the addresses, that which answered last
        self._client: Any = None
        self._lock = threading.Lock()  # held while a connection is made

    @property
    def uri(self) -> str:
        """The addresses, without the password that one may hold."""
        return ",".join(map(_shown, self._uris))

    @contextlib.contextmanager
    def asked(self) -> Iterator[Any]:
        """The client; errors become ones that say what to do."""
        try:
            import pymilvus
            from grpc import RpcError  # which pymilvus lets through where a server is lost in the middle
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise LibraryError(
                f"vectors in Milvus need more: pip install 'mmsearch[milvus]' ({error})", code="needs-milvus"
            ) from error
        try:
            with limit.waiting():
                yield self._connection(pymilvus.MilvusClient, MilvusException)
        except (MilvusException, RpcError) as error:
            if _AWAY.search(_text(error)):
                self.close()  # a client that lost its server does not find it again
                self._at += 1
            raise LibraryError(f"Milvus at {self.uri}: {_meant(error)}", code="vectors-away") from None

    def _connection(self, client: Any, wrong: type[Exception]) -> Any:
        """The client, made where there is none."""
        if not self._lock.acquire(timeout=timeout()):
            raise wrong(message="timeout: another search waits for a connection")  # type: ignore[call-arg]
        try:
            if self._client is None:
                self._client = self._connected(client, wrong)
            return self._client
        finally:
            self._lock.release()

    def _connected(self, client: Any, wrong: type[Exception]) -> Any:
        """A client of the first server that answers, from the one that did so last.  Raises what the last one said."""
        for tried in range(len(self._uris)):
            uri = self._uris[(self._at + tried) % len(self._uris)]
            left = len(self._uris) - tried  # addresses that the rest of the time is for
            try:
                _knock(uri, timeout(KNOCK) / left, wrong)
                made = client(uri=uri, token=self._token, timeout=timeout() / left)
            except wrong:
                if left == 1:
                    raise
                continue
            self._at += tried
            return made
        return None

    def close(self) -> None:
        """It is made anew where something is asked afterwards."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # its server may be gone
                client.close()


def timeout(most: float = TIMEOUT) -> float:
    """Seconds for an answer: what a search may still wait, at most these."""
    return limit.at_most(most)


def _knock(uri: str, seconds: float, wrong: type[Exception]) -> None:
    """Raises where nobody listens at an address: the client would try it again and again until its time is over."""
    parts = urlsplit(uri)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 19530)
        socket.create_connection((parts.hostname or "", port), timeout=max(seconds, 0.05)).close()
    except (OSError, ValueError) as error:
        raise wrong(message=f"connect: {error}") from error  # type: ignore[call-arg]  # a MilvusException


def _shown(uri: str) -> str:
    """An address without user and password."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


_AWAY = re.compile("connect|unavailable|deadline|timeout", re.IGNORECASE)


def _text(error: Any) -> str:
    return " ".join(str(getattr(error, "message", error)).split())


def _meant(error: Any) -> str:
    text = _text(error)
    if _AWAY.search(text):
        return "nobody answers there; check host and port, and that the server runs"
    if re.search("auth|permission|privilege", text, re.IGNORECASE):
        return "it does not let this user in; check vectors_token"
    return text[:300]
