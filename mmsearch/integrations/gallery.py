"""Photos as a notebook shows them: HTML that needs nothing else, without scripts.  Everything from files is escaped."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from mmsearch.media.thumbnails import thumbnails
from mmsearch.types import Hit, Note, Photo

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 20  # pictures at most: a notebook keeps them in its file, about 8 kB each
SIDE = 160  # pixels of the longer side
_QUALITY = 75  # of WebP

# Styles stand at each element: notebooks take a style sheet out, or let it change the rest of the page.
_CARD = "margin:0;width:160px;font:12px/1.35 system-ui,sans-serif;overflow-wrap:anywhere"
_FRAME = (
    "display:flex;align-items:center;justify-content:center;height:160px;background:#8882;border-radius:6px;"
    "overflow:hidden;text-align:center"
)


def of_hits(hits: Sequence[Hit], notes: Sequence[Note], more: bool, max_megapixels: float) -> str:
    """The best hits with thumbnails, how many more there are, and what a person should know of the search."""
    lines = []
    for hit in hits[:SHOWN]:
        told = [f"<b>{hit.rank}</b>"]
        if hit.relevance is not None:
            told.append(f"{hit.relevance:.0%}")
        elif hit.score is not None:
            told.append(f"{hit.score:.3f}")
        if hit.answer is not None:
            told.append(f"<b>{_text(hit.answer)}</b>")
        lines.append(" · ".join(told))
    rest = _rest(len(hits), "hit")
    if more and hits:
        rest += f"<p>The next page begins at offset={hits[-1].rank}.</p>"
    said = "".join(f"<p>{_text(note)}</p>" for note in notes)
    if not hits and not notes:
        said = "<p>No pictures were found.</p>"
    return _gallery(hits[:SHOWN], lines, max_megapixels) + rest + said


def of_photos(photos: Sequence[Photo], count: int, max_megapixels: float) -> str:
    """The first photos with thumbnails, of ``count``."""
    if not count:
        return "<p>No pictures.</p>"
    lines = [_text(f"{photo.date:%Y-%m-%d}") for photo in photos[:SHOWN]]
    return _gallery(photos[:SHOWN], lines, max_megapixels) + _rest(count, "picture")


def _rest(count: int, what: str) -> str:
    return f"<p>… and {count - SHOWN:,} more {what}{'s' * (count - SHOWN > 1)}.</p>" if count > SHOWN else ""


def _gallery(shown: Sequence[Hit | Photo], lines: Sequence[str], max_megapixels: float) -> str:
    cards = [
        _card(one if isinstance(one, Photo) else one.photo, line, picture)
        for one, line, picture in zip(shown, lines, thumbnails(shown, SIDE, max_megapixels), strict=True)
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(cards)}</div>' if cards else ""


def _card(photo: Photo, line: str, picture: Image | str) -> str:
    name, path = _text(os.path.basename(photo.path)), _text(photo.path)
    if isinstance(picture, str):
        seen = f'<span style="padding:8px">{_text(picture)}</span>'
    else:
        data = f"data:image/webp;base64,{_webp(picture)}"
        said = photo.caption or photo.description
        alternative = f"{name}: {_text(said)}" if said else name
        seen = f'<img src="{data}" width="{picture.width}" height="{picture.height}" alt="{alternative}">'
    return (
        f'<figure style="{_CARD}" title="{path}"><div style="{_FRAME}">{seen}</div>'
        f"<figcaption>{line}<br>{name}</figcaption></figure>"
    )


def _webp(picture: Image) -> str:
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=_QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _text(value: str) -> str:
    """Text as HTML, on one line: odd bytes and what cannot be printed are escaped."""
    text = " ".join(value.split()).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return escape("".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text))
