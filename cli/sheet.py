"""``query --html``: hits as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mmsearch.cli import formatting
from mmsearch.media.film_time import clock
from mmsearch.media.remote_path import file_name
from mmsearch.media.remote_path import link as link_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmsearch.types import Hit, Moment

SIDE = 320  # pixels of the longer side of a picture
STRIP = 96  # the same of the best parts of a film or a document
_QUALITY = 80  # of its JPEG: 10 to 25 kB

_STYLE = """
:root { color-scheme: light dark; --ground: #f6f6f4; --card: #fff; --ink: #1c1c1a; --dim: #666660; --line: #deded8;
  --mark: #1f6f4a; --mat: #ecece8 }
@media (prefers-color-scheme: dark) { :root { --ground: #171715; --card: #22221f; --ink: #ecece6; --dim: #a3a39a;
  --line: #3a3a35; --mark: #7fd1a8; --mat: #1b1b19 } }
* { box-sizing: border-box }
body { margin: 0; padding: 1.5rem clamp(1rem, 4vw, 3rem) 3rem; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.5rem; overflow-wrap: anywhere }
header p, footer { margin: .25rem 0 1.25rem; color: var(--dim) }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); gap: 1rem; margin: 0;
  padding: 0; list-style: none }
ol > li { display: flex; flex-direction: column; overflow: hidden; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; break-inside: avoid }
.seen { position: relative; display: grid; place-items: center; aspect-ratio: 4 / 3; background: var(--mat);
  color: var(--dim); text-align: center; text-decoration: none }
.seen img { position: absolute; width: 100%; height: 100%; object-fit: contain }
.seen span { padding: 1rem; overflow-wrap: anywhere }
.told { padding: .7rem .9rem .9rem }
.told p { margin: .2rem 0; overflow-wrap: anywhere }
.told a { color: inherit }
.strip { display: flex; gap: .4rem; overflow-x: auto }
.strip a { color: var(--dim); font-size: .8rem; text-decoration: none; text-align: center }
.rank { font-weight: 700 }
.score, .sure { color: var(--mark); font-variant-numeric: tabular-nums }
.dim, details { color: var(--dim); font-size: .87rem }
.tags span { display: inline-block; margin: .15rem .3rem .15rem 0; padding: 0 .5rem; border: 1px solid var(--line);
  border-radius: 1rem; font-size: .82rem }
details ul { margin: .2rem 0; padding-left: 1.1rem; overflow-wrap: anywhere }
footer { margin: 1.5rem 0 0; font-size: .87rem }
"""


def check(file: Path) -> Path:
    """Where a sheet can be written, known before any work is done.

    Raises BadParameter for a name that is none of an HTML file, SourceError where it cannot be written: no folder, a
    folder, or a file that holds something else.
    """
    from mmsearch.errors import SourceError
    from mmsearch.media.filesystem import open_regular

    name = formatting.shown(str(file))
    if file.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"must end in .html, not {file.name!r}", param_hint="--html")
    target = Path(os.path.realpath(os.path.expanduser(file)))  # a link stays one
    if not target.parent.is_dir():
        raise SourceError(f"{name} cannot be written: there is no folder {formatting.shown(str(target.parent))}")
    if target.exists() and not target.is_file():
        raise SourceError(f"{name} cannot be written: it is {'a folder' if target.is_dir() else 'no regular file'}")
    if target.exists():
        with open_regular(target) as existing:
            beginning = existing.read(4096)
        html = rb"(\xef\xbb\xbf)?\s*((<\?.*?\?>|<!--.*?-->)\s*)*<(!doctype\s+html|html)\b"
        if beginning and not re.match(html, beginning, re.IGNORECASE | re.DOTALL):
            raise SourceError(f"{name} is left as it is: it is no HTML file; give another name for the sheet")
    return target


def write(
    target: Path, hits: Sequence[Hit], title: str, max_megapixels: float, rough: Mapping[str, Image] | None = None
) -> None:
    """Write the sheet to where ``check`` said, whole or not at all.  Raises SourceError where it cannot be written.

    ``rough`` has pictures for some whose files are away, by path.
    """
    from mmsearch.errors import SourceError
    from mmsearch.media.filesystem import atomic_file

    try:
        with atomic_file(target) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(html(hits, title, max_megapixels, rough))
    except OSError as error:  # it names the draft, or nothing
        name = formatting.shown(str(target))
        raise SourceError(f"{name} cannot be written: {error.strerror or error}") from error


def html(
    hits: Sequence[Hit], title: str, max_megapixels: float, rough: Mapping[str, Image] | None = None
) -> Iterator[str]:
    """The sheet, piece by piece."""
    from mmsearch import __version__
    from mmsearch.media.thumbnails import moments, thumbnails

    hashed = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    allowed = f"default-src 'none'; img-src data:; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    found = formatting.plural(len(hits), "picture") if hits else "No pictures were found"
    yield (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(allowed)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{_text(title)}</h1><p>{found}</p></header>\n<main><ol>\n"
    )
    for hit, picture in zip(hits, thumbnails(hits, SIDE, max_megapixels, rough), strict=True):
        several = len(hit.moments) > 1 and not hit.photo.is_sound
        parts = moments(hit, STRIP, max_megapixels) if several else ()
        yield _card(hit, picture, parts, rough=hit.path in (rough or {}))
    yield (
        f"</ol></main>\n<footer>Made by mmsearch {_text(__version__)}, {datetime.now():%Y-%m-%d %H:%M}. "
        "The small pictures are in this file; a click on one opens the photo itself where it is.</footer>\n"
        "</body>\n</html>\n"
    )


def _card(hit: Hit, picture: Image | str, parts: Sequence[tuple[Moment, Image]], rough: bool = False) -> str:
    """A hit; ``parts`` are the best ones of a film or a document, and a ``rough`` picture is none of the file."""
    photo = hit.photo
    link = f'href="{escape(link_of(hit.path))}"'
    name, folder = file_name(hit.path), os.path.dirname(hit.path)
    if isinstance(picture, str):
        seen = f"<span>{_text(picture)}</span>"
    else:
        said = photo.caption or photo.description
        alternative = _path(name) + (f": {_text(said)}" if said else "")
        data = f"data:image/jpeg;base64,{_jpeg(picture)}"
        shape = f'width="{picture.width}" height="{picture.height}"'
        seen = f'<img src="{data}" {shape} alt="{alternative}">'
    lines = [f'<span class="rank">{hit.rank}</span> <span class="score">{formatting.score(hit)}</span>']
    if hit.moments:
        lines[0] += f' <span class="sure">{formatting.place(hit.moments[0])}</span>'
    if hit.relevance is not None:
        lines[0] += f' <span class="sure">relevance {formatting.probability(hit)}</span>'
    if hit.answer is not None:
        lines.append(f"<strong>{_text(formatting.answer(hit) or hit.answer)}</strong>")
    lines.append(f'<a {link}>{_path(name)}</a><br><span class="dim">{_path(folder)}</span>')
    length = clock(photo.film.duration_ms) if photo.film else ""
    measures = ["" if photo.is_sound else f"{photo.width}×{photo.height}", length, formatting.size(photo.size)]
    if rough:
        lines.append("<strong>rough: the file is gone; drawn from what the library knows of it</strong>")
    facts = [f"{photo.date:%Y-%m-%d %H:%M}", *measures, photo.exif.camera or "", formatting.noted(photo)]
    lines.append(f'<span class="dim">{_text(" · ".join(filter(None, facts)))}</span>')
    lines += [f'<span class="dim">{_text(reason)}</span>' for reason in hit.reasons]
    lines += [f"“{_text(said)}”" for said in (photo.caption, photo.description) if said]
    if photo.text:
        lines.append(f'<span class="dim">reads: {_text(photo.text)}</span>')
    told = _strip(link_of(hit.path), parts) + "".join(f"<p>{line}</p>\n" for line in lines)
    if photo.tags:
        told += f'<p class="tags">{"".join(f"<span>{_text(tag)}</span>" for tag in photo.tags)}</p>\n'
    if hit.similar:
        others = "".join(f'<li><a href="{escape(link_of(one))}">{_path(one)}</a></li>' for one in hit.similar)
        told += f"<details><summary>{formatting.similar(hit)}</summary><ul>{others}</ul></details>\n"
    return f'<li>\n<a class="seen" {link}>{seen}</a>\n<div class="told">\n{told}</div>\n</li>\n'


def _strip(link: str, parts: Sequence[tuple[Moment, Image]]) -> str:
    """Small pictures of the best parts, in the order of the file; a click on one of a film opens it there."""
    if not parts:
        return ""
    shown = []
    for moment, picture in parts:
        at = f"#page={moment.page}" if moment.start_ms is None else f"#t={moment.start_ms / 1000:g}"
        place = formatting.place(moment)
        shown.append(
            f'<a href="{escape(link + at)}"><img src="data:image/jpeg;base64,{_jpeg(picture)}" '
            f'width="{picture.width}" height="{picture.height}" alt="{place}"><br>{place}</a>'
        )
    return f'<div class="strip">{"".join(shown)}</div>\n'


def _path(value: str) -> str:
    """A path, or part of one, as HTML: bytes and characters that cannot be printed are escaped."""
    return escape(formatting.shown(value, relative=False))


def _text(value: str) -> str:
    """Text as HTML, on one line."""
    return escape(formatting.printable(" ".join(value.split())))


def _jpeg(picture: Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii")
