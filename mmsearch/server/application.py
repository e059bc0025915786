"""The ASGI application: its routes, what stands around them, and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import mmsearch
from mmsearch.errors import MMSearchError
from mmsearch.library.library import Library
from mmsearch.server import errors
from mmsearch.server.api import (
    browse,
    complete,
    duplicates,
    export,
    figures,
    jobs,
    library_map,
    looking,
    page,
    photos,
    saved,
    search,
    status,
    tags,
)
from mmsearch.server.context import Context
from mmsearch.server.models import Problem
from mmsearch.server.options import ServerOptions
from mmsearch.server.security import Gate

API = "/api/v1"
_NAMED = "#/components/schemas/{model}"
_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong",
        "content": {"application/problem+json": {"schema": {"$ref": _NAMED.format(model="Problem")}}},
    }
}


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The description, with ``Problem`` in the place of what the framework itself would say of errors."""
        if self.openapi_schema is None:
            schema = super().openapi()
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            models = schema["components"]["schemas"]
            models["Problem"] = Problem.model_json_schema(ref_template=_NAMED)
            for name in ("HTTPValidationError", "ValidationError"):
                models.pop(name, None)
        assert self.openapi_schema is not None
        return self.openapi_schema


def make(library: Library, options: ServerOptions) -> FastAPI:
    """See ``mmsearch.server.app``."""
    context = Context(library, options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        context.close()

    app = _Application(
        title="mmsearch",
        version=mmsearch.__version__,
        description="Find your own pictures by what is in them.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # these load programs from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context, app.state.options = context, options
    for routes in (
        search, photos, looking, browse, complete, duplicates, tags, export, saved, jobs, library_map, status,
    ):  # fmt: skip
        app.include_router(routes.router, prefix=API, responses=_PROBLEM)
    app.include_router(page.router)
    app.include_router(figures.router)
    app.add_middleware(Gate, options=options)
    app.add_exception_handler(MMSearchError, _library_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    return app


async def _library_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MMSearchError)
    _count(request, error.code)
    return errors.of_library(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    _count(request, error.code if isinstance(error, errors.Refused) else str(error.status_code))
    return errors.of_http(error)


def _count(request: Request, code: str) -> None:
    metrics = request.app.state.context.metrics
    if metrics is not None:
        metrics.error(code)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    _count(request, "bad-request")
    return errors.of_validation([dict(one) for one in error.errors()])
