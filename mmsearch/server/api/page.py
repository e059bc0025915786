"""The page and what belongs to it: the files of ``static/``, and no others."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from mmsearch.manage.map import page as map_page
from mmsearch.server.errors import Refused
from mmsearch.server.files import is_fresh

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent.parent / "static"
MAP = Path(map_page.__file__).parent / "static"  # what the page and the file of a map have in common
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


@cache
def _files() -> dict[str, Path]:
    """Name of each file that is sent -> where it lies: a name leads nowhere else."""
    files = [file for file in STATIC.rglob("*") if file.suffix in _TYPES and file.is_file()]
    own = {file.relative_to(STATIC).as_posix(): file for file in files}
    return own | {f"map/{file.name}": file for file in MAP.glob("atlas*") if file.suffix in _TYPES}


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _sent(request, "index.html")


@router.get("/static/{name:path}")
async def static(request: Request, name: str) -> Response:
    """A file that belongs to the page."""
    return _sent(request, name)


def _sent(request: Request, name: str) -> Response:
    file = _files().get(name)
    if file is None:
        raise Refused(404, "not-found", "there is no such page")
    content = file.read_bytes()
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    if is_fresh(request.headers, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_TYPES[file.suffix], headers=headers)
