"""A map as one HTML file: it needs no network, no other file, and carries no text that could be read as a program.

Small pictures of at most ``PICTURES`` photos lie in a few JPEG sheets, paths of at most ``PATHS`` photos in a table of
folders and names; the others are points.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsearch.errors import SourceError
from mmsearch.manage.map.points import drawn, evenly, order, packed
from mmsearch.media.filesystem import atomic_file, open_regular
from mmsearch.media.thumbnails import thumbnails
from mmsearch.store.kept_map import KeptMap
from mmsearch.store.protocol import Store
from mmsearch.types import Ids, Photo, Progress

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = 5000  # photos with a small picture: about 6 MB of the file
PATHS = 100_000  # photos with a path: about 4 MB
SIDE = 64  # pixels of a small picture
ACROSS = 16  # small pictures in a row of a sheet, and rows of it
QUALITY = 72  # of a sheet's JPEG
SAID = 160  # characters of what is said of a photo
AT_ONCE = 1000  # photos read at once

MODULES = ("atlasdom", "atlasdata", "atlascanvas", "atlasinput", "atlas", "page")  # each imports only from those before


def check(file: Path) -> Path:
    """Where a page can be written, known before any work is done.

    Raises SourceError where it cannot be: no folder, a folder, another ending, or a file that holds something else.
    """
    target = Path(os.path.realpath(os.path.expanduser(file)))  # a link stays one
    if target.suffix.lower() not in (".html", ".htm"):
        raise SourceError(f"a map is an HTML file, and {file} does not end in .html; give it such a name")
    if not target.parent.is_dir():
        raise SourceError(f"{file} cannot be written: there is no folder {target.parent}; make it first")
    if target.exists() and not target.is_file():
        raise SourceError(f"{file} cannot be written: it is {'a folder' if target.is_dir() else 'no regular file'}")
    if target.exists():
        with open_regular(target) as existing:
            beginning = existing.read(4096).lstrip()
        if beginning and not beginning[:14].lower().startswith((b"<!doctype html", b"<html")):
            raise SourceError(f"{file} is left as it is: it is no HTML file; give another name for the map")
    return target


def write(
    target: Path,
    store: Store,
    kept: KeptMap,
    title: str,
    max_megapixels: float,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Write a map to where ``check`` said, whole or not at all.  Raises SourceError where it cannot be written."""
    try:
        with atomic_file(target) as draft, draft.open("w", encoding="ascii", newline="\n") as file:
            file.writelines(html(store, kept, title, max_megapixels, progress or (lambda step: None)))
    except OSError as error:
        raise SourceError(f"{target} cannot be written: {error.strerror or error}") from error


def html(
    store: Store, kept: KeptMap, title: str, max_megapixels: float, told: Callable[[Progress], None]
) -> Iterator[str]:
    """The page, piece by piece, in ASCII."""
    style, script = _file("atlas.css") + _file("page.css"), bundled()
    allowed = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    named = _text(title)
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(allowed)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{named}: map</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<header class="page-head"><h1>{named}</h1><p id="said">{len(kept.ids):,} photos in {len(kept.clusters):,} '
        f"clusters. Made by mmsearch, {datetime.now():%Y-%m-%d %H:%M}.</p></header>\n"
        '<main id="map"></main>\n<noscript><p class="page-note">This map needs JavaScript.</p></noscript>\n'
    )
    yield _data("points", drawn(kept))
    rows = order(kept)
    pictured, pathed = evenly(kept, PICTURES), evenly(kept, PATHS)
    pathed = np.union1d(pictured, pathed)
    photos = dict(_photos(store, kept.ids[rows], pathed, told))
    yield _data("photos", _facts(photos, set(pictured.tolist())))
    shown = [at for at in pictured.tolist() if at in photos]
    sheets, drawn_at = _sheets([photos[at] for at in shown], max_megapixels, told)
    at = packed(np.array(shown, np.int64)[drawn_at], "<u4")
    yield _data("pictures", {"at": at, "side": SIDE, "across": ACROSS, "sheets": sheets})
    yield f'<script type="module">{script}</script>\n</body>\n</html>\n'


def _data(name: str, content: Any) -> str:
    """JSON that no parser of HTML takes for anything else."""
    text = json.dumps(content, separators=(",", ":"))  # ASCII: U+2028 and lone surrogates are escaped
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{name}">{safe}</script>\n'


def _text(value: str) -> str:
    """A text as ASCII HTML on one line; halves of characters are shown as a sign for what is unknown."""
    tidy = " ".join(value.split()).encode("utf-8", "replace").decode("utf-8")
    return escape(tidy).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _photos(store: Store, ids: Ids, points: Ids, told: Callable[[Progress], None]) -> Iterator[tuple[int, Photo]]:
    """A file of each of these points; none of one whose file went meanwhile."""
    for start in range(0, len(points), AT_ONCE):
        some = points[start : start + AT_ONCE]
        found = store.photos(ids[some].tolist())
        for at in some.tolist():
            files = found.get(int(ids[at]), ())
            if files:
                yield at, files[0]
        told(Progress(min(start + AT_ONCE, len(points)), len(points), "", "paths"))


def _facts(photos: dict[int, Photo], said: set[int]) -> dict[str, Any]:
    """Paths by a table of folders, and what is known of each photo; words only of those with a picture."""
    folders: dict[str, int] = {}
    places, names = [], []
    for photo in photos.values():
        folder, name = os.path.split(photo.path)
        places.append(folders.setdefault(folder, len(folders)))
        names.append(name)
    each = list(photos.values())
    return {
        "at": packed(np.array(list(photos), np.int64), "<u4"),
        "folders": list(folders),
        "folder": packed(np.array(places, np.int64), "<u4"),
        "names": names,
        "dates": packed(np.array([_minutes(photo.date) for photo in each], np.int64), "<i4"),
        "widths": packed(np.array([min(photo.width, 2**31) for photo in each], np.int64), "<u4"),
        "heights": packed(np.array([min(photo.height, 2**31) for photo in each], np.int64), "<u4"),
        "said": {str(at): text for at, photo in photos.items() if at in said and (text := _said(photo))},
    }


def _minutes(date: datetime) -> int:
    """Minutes since 1970 on the clock that the date was read from."""
    return int((date.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds() // 60)


def _said(photo: Photo) -> str:
    text = photo.caption or photo.description or ", ".join(photo.tags[:6])
    return " ".join(text.split())[:SAID]


def _sheets(photos: Sequence[Photo], max_megapixels: float, told: Callable[[Progress], None]) -> tuple[list[str], Ids]:
    """JPEG sheets as data URLs, with the pictures in their order, and which of the photos these are."""
    from PIL import Image, ImageOps

    sheets: list[str] = []
    there: list[int] = []
    sheet: Image.Image | None = None
    each = ACROSS * ACROSS
    for number, picture in enumerate(thumbnails(photos, 2 * SIDE, max_megapixels)):
        if number % 50 == 0 or number + 1 == len(photos):
            told(Progress(number + 1, len(photos), photos[number].path, "small pictures"))
        if isinstance(picture, str):
            continue
        slot = len(there) % each
        if slot == 0:
            if sheet is not None:
                sheets.append(_jpeg(sheet))
            sheet = Image.new("RGB", (ACROSS * SIDE, ACROSS * SIDE), (128, 128, 128))
        assert sheet is not None
        small = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(small, (slot % ACROSS * SIDE, slot // ACROSS * SIDE))
        there.append(number)
    if sheet is not None:
        rows = -(-((len(there) - 1) % each + 1) // ACROSS)
        sheets.append(_jpeg(sheet.crop((0, 0, ACROSS * SIDE, rows * SIDE))))
    return sheets, np.array(there, np.int64)


def _jpeg(picture: Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


@cache
def bundled() -> str:
    """The modules of the page as one, which a file may hold: what they take from each other is there already."""
    parts = []
    for name in MODULES:
        source = re.sub(r'^import .* from "\./\w+\.js";\n', "", _file(f"{name}.js"), flags=re.MULTILINE)
        parts.append(re.sub(r"^export ", "", source, flags=re.MULTILINE))
    return "\n".join(parts)


def _file(name: str) -> str:
    text = (resources.files("mmsearch.manage.map") / "static" / name).read_text("utf-8")
    text.encode("ascii")  # what is hashed is what is written, whatever the encoding
    return text


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("ascii")).digest()).decode("ascii")
