"""Errors as problem+json (RFC 9457), with the codes of the library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from mmsearch import schemas
from mmsearch.errors import (
    ConfigError,
    ImageError,
    LibraryError,
    MapError,
    MMSearchError,
    ModelError,
    NewerLibraryError,
    TransferError,
)

# What an error of the library is to a client; all others are wrong requests.
_STATUS: dict[type[MMSearchError], int] = {
    ImageError: 422,
    ModelError: 409,
    LibraryError: 409,
    NewerLibraryError: 500,
    MapError: 409,
    TransferError: 409,
    ConfigError: 500,
}
_STATUS_OF_CODE = {
    "file-gone": 404,
    "no-map": 404,
    "unknown-photo": 404,
    "search-timeout": 503,
    "vectors-unreachable": 503,
    "words-unreachable": 503,
}


class Refused(HTTPException):
    """What the server does not do; ``code`` and ``fields`` as an error of the library has them."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code, self.fields = code, fields


class Json(Response):
    """JSON in ASCII, so that names of files that are no UTF-8 get through as lone surrogates."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


class ProblemJson(Json):
    media_type = "application/problem+json"


def problem(
    status: int,
    code: str,
    detail: str,
    fields: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemJson:
    """The answer of this status that says what is wrong."""
    content = {
        "type": f"urn:mmsearch:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "fields": dict(fields or {}),
    }
    return ProblemJson(content, status, dict(headers or {}))


def of_library(error: MMSearchError) -> ProblemJson:
    """An error of the library as an answer."""
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 400)
    said = schemas.error(error)
    status = _STATUS_OF_CODE.get(said["code"], status)
    return problem(status, said["code"], said["message"], _plain(said["fields"]))


def of_http(error: HTTPException) -> ProblemJson:
    """What the server, or the framework it is made with, refuses."""
    if isinstance(error, Refused):
        return problem(error.status_code, error.code, str(error.detail), error.fields, error.headers)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return problem(error.status_code, code, f"{error.detail}", None, error.headers)


def of_validation(errors: list[dict[str, Any]]) -> ProblemJson:
    """Parameters or a body that are not as the interface says; what was sent is not repeated."""
    told = [{"where": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in errors]
    detail = "; ".join(f"{one['where']}: {one['message']}" for one in told)
    return problem(422, "bad-request", detail, {"errors": told})


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as JSON takes them; what is of another kind as its text."""
    kinds = (str, int, float, bool, list, type(None))
    return {name: value if isinstance(value, kinds) else str(value) for name, value in fields.items()}
