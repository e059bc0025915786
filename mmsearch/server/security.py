"""Who may ask: every request goes through ``Gate`` before anything else sees it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import re
import time
import uuid
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmsearch.server import errors
from mmsearch.server.errors import Refused
from mmsearch.server.options import ServerOptions

logger = logging.getLogger(__name__)

_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_READS = ("GET", "HEAD", "OPTIONS")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COOKIE_DAYS = 30


class Bucket:
    """Lets ``rate`` requests a second pass, and ``burst`` at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._left, self._at = float(burst), time.monotonic()

    def take(self) -> float:
        """Seconds to wait for the next one; 0 where this one may pass."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class Gate:
    """Checks who asks, gives every answer its headers, and turns what goes wrong into an answer."""

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self.app, self._options = app, options
        token = options.token.encode()
        self._token = token
        # A cookie is sent to every server of this name, whatever its port: so it is not the token itself.
        self._cookie = hmac.new(token, b"mmsearch cookie", hashlib.sha256).hexdigest()
        self._buckets = {kind: Bucket(options.requests_per_second, options.burst) for kind in ("bearer", "cookie")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that may pass, and answer any other one."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        began, status, started = time.perf_counter(), 0, False

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                told = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    told.setdefault(name, value)
                told["X-Request-Id"] = request_id
            await send(message)

        try:
            try:
                response = self._entrance(scope, headers)
                if response is None:
                    self._check(scope, headers)
                    return await self.app(scope, self._counted(scope, receive), answer)
            except HTTPException as error:
                response = errors.of_http(error)
                if scope["path"].endswith("/") and "text/html" in headers.get("accept", ""):  # a person reads it
                    response = PlainTextResponse(f"mmsearch: {error.detail}\n", error.status_code)
            except Exception:
                logger.exception("request %s failed", request_id)
                if started:
                    raise
                text = f"the server failed; its log says why, under {request_id}"
                response = errors.problem(500, "internal-error", text, {"request": request_id})
            await response(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - began
            level = logging.DEBUG if scope["path"].startswith("/static/") or "/thumb" in scope["path"] else logging.INFO
            logger.log(level, "%s %s %d %.1f ms", scope["method"], scope["path"], status, 1000 * seconds)

    def _entrance(self, scope: Scope, headers: Headers) -> Response | None:
        """Where a browser comes with the token in the address: a cookie in its place, and on to the page."""
        if scope["path"] != scope.get("root_path", "") + "/" or scope["method"] != "GET":
            return None
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in pairs if name == "token"]
        if not tokens:
            return None
        self._check_host(headers)
        if not hmac.compare_digest(tokens[0].encode(), self._token):
            raise _unknown()
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        response = RedirectResponse(scope.get("root_path", "") + "/" + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(
            self._cookie_name(headers), self._cookie, max_age=86400 * _COOKIE_DAYS, httponly=True, samesite="strict",
            secure=scope["scheme"] == "https",
        )  # fmt: skip
        return response

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises Refused for a request that may not pass."""
        self._check_host(headers)
        write = scope["method"] not in _READS
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != headers["host"].lower():
            raise Refused(403, "foreign-origin", "another web site may not ask this server")
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") or (write and site == "none" and "sec-fetch-site" in headers):
            raise Refused(403, "foreign-origin", "another web site may not ask this server")
        kind = self._who(headers)
        if kind == "cookie" and write and origin is None:
            raise Refused(403, "foreign-origin", "a browser says where it writes from, with the header Origin")
        seconds = self._buckets[kind].take()
        if seconds:
            raise Refused(
                429, "too-many-requests", "too many requests; slow down", {"Retry-After": str(math.ceil(seconds))}
            )

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._options.allows(hosts[0]):
            raise Refused(403, "wrong-host", "the server does not answer to this name")

    def _who(self, headers: Headers) -> str:
        """By what a request shows that it may ask, "bearer" or "cookie".  Raises Refused where by nothing."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token):
            return "bearer"
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie_name(headers))
        except CookieError:
            cookie = None
        if cookie is not None and hmac.compare_digest(cookie.value.encode(), self._cookie.encode()):
            return "cookie"
        raise _unknown()

    def _cookie_name(self, headers: Headers) -> str:
        """With the port, which does not tell cookies apart: two servers on one machine have two."""
        port = re.search(r":(\d+)$", headers.get("host", ""))
        return f"mmsearch_{port[1]}" if port else "mmsearch"

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """The body, as long as it is not too long and keeps coming."""
        options = self._options
        upload = scope["path"].endswith("/search/image")
        most, seen, whole = options.upload_bytes if upload else options.body_bytes, 0, False

        async def read() -> Message:
            nonlocal seen, whole
            if whole:  # whoever asks now waits for the client to leave
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), options.read_seconds)
            except (asyncio.TimeoutError, TimeoutError):
                raise Refused(408, "too-slow", "the request did not come to its end", {"Connection": "close"}) from None
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if seen > most:
                    text = f"the request has more than {most:,} bytes"
                    raise Refused(413, "too-large", text, {"Connection": "close"}, most=most)
            return message

        return read


def _unknown() -> Refused:
    return Refused(
        401,
        "no-token",
        "open the address that `mmsearch serve` printed, with its token; programs send it as Authorization: Bearer",
        {"WWW-Authenticate": "Bearer"},
    )
