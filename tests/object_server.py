"""A real server that answers as S3 does, over HTTP: started when the first test of a process asks for it.

It is moto's, on a free port of this machine; buckets are in its memory, and go with it.  ``Between`` stands between it
and who asks, and answers some requests otherwise: as a busy store, slowly, or not to the end.
"""

from __future__ import annotations

import atexit
import http.client
import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

KEYS = ("test-key", "test-secret")  # any are taken
REGION = "us-east-1"
SIGNED = f"AWS4-HMAC-SHA256 Credential={KEYS[0]}/20260101/{REGION}/s3/aws4_request"


class ObjectServer:
    """The server, and what a test puts into it."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log each request
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.host, self.port = host, int(port)
        atexit.register(self._server.stop)

    @property
    def url(self) -> str:
        """Where it answers: the value of ``AWS_ENDPOINT_URL``."""
        return f"http://{self.host}:{self.port}"

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What a program finds it by, that reads the usual variables; ``endpoint`` takes the place of its own."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.url,
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_REGION": REGION,
        }

    def bucket(self) -> str:
        """A new bucket of a name that no other test has."""
        name = f"photos-{uuid.uuid4().hex[:12]}"
        self._ask("PUT", name)
        return name

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self._ask("PUT", f"{bucket}/{quote(key)}", content)

    def delete(self, bucket: str, key: str) -> None:
        self._ask("DELETE", f"{bucket}/{quote(key)}")

    def delete_all(self, bucket: str) -> None:
        """Every object; the bucket stays."""
        listing = self._ask("GET", f"{bucket}?list-type=2").decode()
        for key in re.findall("<Key>(.*?)</Key>", listing):
            self.delete(bucket, unescape(key))

    def get(self, bucket: str, key: str) -> bytes:
        return self._ask("GET", f"{bucket}/{quote(key)}")

    def _ask(self, method: str, path: str, content: bytes = b"") -> bytes:
        """Raises AssertionError where the server refuses; it looks at no signature, only at who it is of."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, f"/{path}", content or None, {"Authorization": SIGNED, "Host": self.host})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status < 300, (method, path, answer.status, body[:300])
        return body


@cache
def object_server() -> ObjectServer:
    """That of this process."""
    return ObjectServer()


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str | None = None) -> ObjectServer:
    """The server, to be found by the environment as long as the test runs."""
    server = object_server()
    for name, value in server.environment(endpoint).items():
        monkeypatch.setenv(name, value)
    return server


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # by their names in lower case


@dataclass(frozen=True)
class Fault:
    """What is answered in place of the server's own answer, or made of it."""

    status: int = 0  # this, and no file; 0 passes the request on
    code: str = ""  # as S3 names what is wrong
    cut: int | None = None  # the body ends after so many bytes, although more are announced
    gate: threading.Event | None = None  # nothing is answered before it is set


class Between:
    """A server in front of another one: ``fault`` says of each request what goes wrong with it, None for nothing."""

    def __init__(self, host: str, port: int, fault: Callable[[Asked], Fault | None]) -> None:
        self.asked: list[Asked] = []
        self.fault = fault
        self.rewrite: Callable[[str], str] = lambda path: path  # what the server is asked for
        self.signed = False  # whether requests are signed for who asks without keys
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self, host, port)

            do_HEAD = do_PUT = do_DELETE = do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, host: str, port: int) -> None:
        asked = Asked(handler.command, handler.path, {name.lower(): value for name, value in handler.headers.items()})
        self.asked.append(asked)
        sent = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        fault = self.fault(asked) or Fault()
        if fault.gate is not None:
            fault.gate.wait(60)
        if fault.status:
            body = f"<Error><Code>{fault.code}</Code><Message>as the test wants it</Message></Error>".encode()
            status, headers = fault.status, {"Content-Type": "application/xml"}
        else:
            status, headers, body = self._passed_on(asked, sent, host, port)
        length = headers.pop("Content-Length", None) if asked.method == "HEAD" else None
        handler.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", length or str(len(body)))
        handler.end_headers()
        try:
            if asked.method != "HEAD":
                handler.wfile.write(body if fault.cut is None else body[: fault.cut])
        except OSError:  # who asked has gone
            pass
        handler.close_connection = handler.close_connection or fault.cut is not None

    def _passed_on(self, asked: Asked, sent: bytes, host: str, port: int) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(host, port, timeout=30)
        try:
            headers = {**asked.headers, **({"authorization": SIGNED} if self.signed else {})}
            connection.request(asked.method, self.rewrite(asked.path), sent or None, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            connection.close()


@contextmanager
def between(fault: Callable[[Asked], Fault | None], server: ObjectServer | None = None) -> Iterator[Between]:
    """In front of the server; its ``url`` is an endpoint."""
    server = server or object_server()
    made = Between(server.host, server.port, fault)
    try:
        yield made
    finally:
        made.close()
