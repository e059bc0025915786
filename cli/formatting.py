"""How results look: tables for people, JSON Lines and bare paths for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.cli import streams
from mmsearch.cli.advice import worded
from mmsearch.cli.streams import cell, console
from mmsearch.media.film_time import clock
from mmsearch.media.remote_path import link as link_of

if TYPE_CHECKING:
    from mmsearch.rerank.captions import Caption
    from mmsearch.types import Hit, IndexReport, Moment, Photo


def shown(path: str, relative: bool = True) -> str:
    """A path that any terminal can print: relative where that is shorter, odd bytes and control characters escaped."""
    if relative:
        with suppress(OSError):  # the working folder is gone
            path = os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
    try:
        readable = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a locale that knows no such letters
        readable = path
    return printable(readable)


def printable(text: str) -> str:
    """A text on one line, with all that cannot be printed escaped; half letters are what the system read as such."""
    try:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def say(message: str) -> None:
    """A line for the person, on stderr; with what to type where it is a ``Note``."""
    print(streams.escaped(worded(message), lines=False), file=sys.stderr, flush=True)


def attended() -> bool:
    """Whether somebody sits at a terminal who can be asked."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def json_line(value: dict[str, Any]) -> None:
    """One object on one line; odd bytes of a path become lone surrogates, as ``os.fsdecode`` makes them."""
    sys.stdout.write(json.dumps(value) + "\n")


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit in ("bytes", "kB") else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def model_name(name: str, precision: str | None) -> str:
    """A model as lists of models call it."""
    return f"{name} in int8" if precision == "int8" else name


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def hit_paths(hits: Sequence[Hit], end: bytes = b"\n") -> None:
    """The bare paths, byte for byte, each followed by ``end``; as ``shown`` where they are lines on a terminal."""
    if end == b"\n" and sys.stdout.isatty():
        for hit in hits:
            print(shown(hit.path, relative=False))
        return
    _write(*(os.fsencode(hit.path) + end for hit in hits))


def hit_table(hits: Sequence[Hit], title: str, moments: bool = False) -> None:
    """A table, with relevance where it is known and answers where a question was asked.

    Of films and documents it says where their best part is; with ``moments`` each of their best parts has a line.  On a
    terminal that can, a click on a path opens the picture.
    """
    from rich.style import Style
    from rich.table import Table

    table = Table(
        title=cell(title), title_style="bold", title_justify="left", box=None, pad_edge=False, header_style="dim"
    )
    answered = any(hit.answer is not None for hit in hits)
    judged = any(hit.relevance is not None for hit in hits)
    ranked = any(hit.score is not None for hit in hits)  # conditions alone rank nothing
    parted = any(hit.moments for hit in hits)
    if ranked:
        table.add_column("Score", justify="right", style="green")
    if judged:
        table.add_column("Relevance", justify="right")
    if answered:
        table.add_column("Answer", overflow="fold")
    if parted:
        table.add_column("Moment", justify="right", no_wrap=True)
    table.add_column("Path", overflow="fold", min_width=20)
    table.add_column("Size", style="dim", no_wrap=True)
    table.add_column("Date", style="dim", no_wrap=True)
    for hit in hits:
        photo = hit.photo
        link = Style(link=link_of(hit.path)) if hit.path.isprintable() else Style()
        path = cell(shown(hit.path), link)
        if hit.similar:
            path.append(f" {similar(hit)}", "dim")
        cells = [cell(score(hit))] if ranked else []
        cells += [cell(probability(hit))] if judged else []
        cells += [cell(answer(hit))] if answered else []
        before = len(cells)
        cells += [cell(place(hit.moments[0]) if hit.moments else "")] if parted else []
        table.add_row(*cells, path, measures(photo), f"{photo.date:%Y-%m-%d %H:%M}")
        for moment in hit.moments if moments else ():
            numbers = [cell(f"{moment.score:.3f}", "dim")] if ranked else []
            empty = [cell("")] * (before - len(numbers))
            said = cell(" ".join(moment.text.split())[:80], "dim")
            table.add_row(*numbers, *empty, cell(whole_place(moment), "dim"), said, "", "")
    console(width=None if sys.stdout.isatty() else 1000).print(table)  # in a pipe nothing is folded


def probability(hit: Hit) -> str:
    """That the hit is what was meant; empty where nobody knows."""
    return "" if hit.relevance is None else f"{hit.relevance:.0%}"


def answer(hit: Hit) -> str:
    """To a question, with how sure it is."""
    return "" if hit.answer_confidence is None else f"{hit.answer} ({hit.answer_confidence:.0%})"


def similar(hit: Hit) -> str:
    """How many near-duplicates the hit stands for."""
    return f"+{len(hit.similar):,} similar" if hit.similar else ""


def shape(photo: Photo) -> str:
    """Width and height, or of sound, which has none, its length."""
    if photo.is_sound:
        return clock(photo.film.duration_ms) if photo.film else ""
    return f"{photo.width}×{photo.height}"


def measures(photo: Photo) -> str:
    """Width, height, of a film and of sound its length, and bytes."""
    length = clock(photo.film.duration_ms) if photo.film and not photo.is_sound else ""
    return "  ".join(filter(None, (shape(photo), length, size(photo.size))))


def place(moment: Moment) -> str:
    """Where in its file a moment or a page is."""
    if moment.start_ms is None or moment.end_ms is None:
        return f"p. {moment.page}"
    return clock(moment.start_ms)


def whole_place(moment: Moment) -> str:
    """The same from its beginning to its end."""
    if moment.start_ms is None or moment.end_ms is None:
        return f"p. {moment.page}"
    return f"{clock(moment.start_ms)}-{clock(moment.end_ms)}"


def noted(photo: Photo) -> str:
    """Town, people, stars and label, where somebody noted them."""
    own = photo.annotations
    stars = "rejected" if own.rating == -1 else "★" * (own.rating or 0)
    return "  ".join(part for part in (own.city, ", ".join(own.people), stars, own.label) if part)


def path_line(path: str, values: Sequence[str]) -> None:
    """A path, byte for byte, and values after tabs."""
    _write(b"\t".join([os.fsencode(path), *(value.encode() for value in values)]) + b"\n")


def _write(*lines: bytes) -> None:
    """Bytes on standard output, as they are."""
    sys.stdout.flush()
    below = streams.unguarded(sys.stdout).buffer
    for line in lines:
        below.write(line)
    below.flush()


def caption_table(rows: Sequence[tuple[str, Sequence[Caption]]]) -> None:
    """A table of photos and what they show; alternatives stand below the best caption."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Sure", justify="right", style="green")
    table.add_column("Path", overflow="fold", min_width=20)
    table.add_column("Caption", overflow="fold")
    for path, captions in rows:
        for number, caption in enumerate(captions):
            style = "dim" if number else ""
            table.add_row(f"{caption.confidence:.2f}", cell("" if number else shown(path)), cell(caption.text, style))
    console().print(table)


def score(hit: Hit) -> str:
    """A hit's score; empty where nothing ranked it."""
    return "" if hit.score is None else f"{hit.score:.3f}"


def report_lines(report: IndexReport, listed: int = 10) -> Iterator[str]:
    """What an ``index`` run did, in sentences."""
    counts = {
        "added": report.added,
        "updated": report.updated,
        "moved": report.moved,
        "back again": report.restored,
        "unchanged": report.unchanged,
        "gone": report.removed - report.excluded,
        "excluded": report.excluded,
        "skipped": len(report.skipped),
    }
    done = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
    if not done:
        yield "no pictures found (looked for JPEG, PNG, WebP, GIF, TIFF, AVIF, HEIC and others: see docs/formats.md)"
        return
    yield f"{done} in {report.seconds:.1f} s{_pace(report)}"
    if report.moments or report.pages:
        yield _parts_found(report)
    if report.regions:
        yield _tokens_made(report)
    if report.captions:
        yield f"captions written for {plural(report.captions, 'photo')}"
    if report.facts:
        yield f"descriptions read in {plural(report.facts, 'photo')} indexed before"
    if report.sidecars:
        yield f"files beside {plural(report.sidecars, 'photo')} read"
    if report.texts:
        seconds = report.shares.get("text", 0.0)
        rate = f" ({report.texts / seconds:.1f} photos/s)" if seconds else ""
        yield f"text looked for in {plural(report.texts, 'photo')} and read in {report.with_text:,}{rate}"
    if heard := report.enriched.get("speech"):
        yield f"what is said was heard in {plural(heard, 'file')}"
    for name in report.enriched.keys() - {"regions", "captions", "facts", "sidecars", "texts", "with_text", "speech"}:
        if report.enriched[name]:
            yield f"{name} added to {plural(report.enriched[name], 'photo')}"
    for one in report.damaged[:listed]:
        yield f"damaged {shown(one.path)}: {one.what}"
    if len(report.damaged) > listed:
        yield f"… and {len(report.damaged) - listed:,} more; `mmsearch status` lists them"
    for item in report.skipped[:listed]:
        yield f"skipped {shown(item.path)}: {item.reason}"
    if len(report.skipped) > listed:
        yield f"… and {len(report.skipped) - listed:,} more; `mmsearch status` lists them"


def _parts_found(report: IndexReport) -> str:
    """How many moments of films and pages of documents can be found."""
    found = [plural(count, what) for count, what in ((report.moments, "moment"), (report.pages, "page")) if count]
    if not report.folded:
        return f"{' and '.join(found)} in films and documents"
    share = report.folded / (report.moments + report.folded)
    return f"{' and '.join(found)} in films and documents; {share:.0%} of the frames showed the same as one before"


_STEPS = {
    "read": "reading and decoding", "encode": "encoding", "store": "storing", "caption": "captioning",
    "speech": "listening", "text": "looking for text", "tokens": "making region tokens",
}  # fmt: skip


def _tokens_made(report: IndexReport) -> str:
    """What the pass for region tokens did; where they are of another model, what that took."""
    seconds = report.shares.get("tokens")
    if seconds is None:
        return f"region tokens added to {plural(report.regions, 'photo')} indexed before"
    photos, each = plural(report.regions, "photo"), 1000 * seconds / report.regions
    return f"region tokens of the embedded model added to {photos} ({each:.0f} ms each to encode)"


def _pace(report: IndexReport) -> str:
    if report.pace is None:
        return ""
    limit = "" if report.limit is None else f"; {_STEPS.get(report.limit, report.limit)} was the limit"
    return f" ({report.pace:.0f} photos/s{limit})"


DIRECTIONS = {"text_to_image": "text to image", "image_to_text": "image to text"}


def eval_lines(figures: dict[str, Any]) -> Iterator[str]:
    """What ``eval`` found out about one model, in lines."""
    brackets = "(in brackets: 95 % intervals)"
    if "text_to_image" in figures:
        yield f"{figures['model']}: {_captioned(figures)} {brackets}"
        rows = list(_retrieval_rows(figures))
        width = max(len(title) for title, _ in rows)
        for title, cells in rows:
            yield f"  {title:{width}}  " + "  ".join(f"{name} {cell}" for name, cell in cells.items())
        if "reranked" in figures:
            yield from _rerank_lines(figures["reranked"])
    if "zero_shot" in figures:
        found = figures["zero_shot"]
        yield f"{figures['model']}: {_classed(found)} {brackets}"
        yield "  zero-shot  " + "  ".join(f"{name} {cell}" for name, cell in _zero_shot_cells(found).items())
        mistaken = [f"{pair['class']} for {pair['taken_for']} ({pair['photos']:,})" for pair in found["confusions"]]
        if mistaken:
            yield "  mistaken   " + ", ".join(mistaken[:5])


def eval_tables(results: Sequence[dict[str, Any]]) -> None:
    """What ``eval`` found out about several models, side by side: a row a model and direction."""
    from rich.table import Table

    def table(title: str) -> Table:
        heading = cell(f"{title} (in brackets: 95 % intervals)")
        return Table(title=heading, title_style="bold", title_justify="left", box=None, pad_edge=False, expand=False)

    wide = console(width=None if sys.stdout.isatty() else 1000)
    captioned = [figures for figures in results if "text_to_image" in figures]
    if captioned:
        shown = table(_captioned(captioned[0]))
        names = ["Model", "Direction", *captioned[0]["text_to_image"]]
        for name in names:
            shown.add_column(name)
        for figures in captioned:
            for title, cells in _retrieval_rows(figures):
                shown.add_row(cell(figures["model"]), title, *cells.values())
        wide.print(shown)
    reranked = [(cell(figures["model"]), figures["reranked"]) for figures in captioned if "reranked" in figures]
    if reranked:
        shown = table(f"gained by reranking {reranked[0][1]['candidates']} candidates")
        for name in ["Model", *reranked[0][1]["gain"], "ms a query"]:
            shown.add_column(name)
        for model, found in reranked:
            shown.add_row(model, *_gains(found).values(), f"{found['milliseconds']}")
        wide.print(shown)
    if any(found["changed"] for _, found in reranked):
        heading = "true caption before a false one, %"
        shown = Table(title=heading, title_style="bold", title_justify="left", box=None, pad_edge=False)
        for name in ("Model", "Kind", "Captions", "First stage", "Reranker", "From the texts alone"):
            shown.add_column(name)
        for model, found in reranked:
            for kind, one in found["changed"].items():
                shares = (f"{one[name]:.2f}" for name in ("first_stage", "reranker", "blind"))
                shown.add_row(model, kind, f"{one['captions']:,}", *shares)
        wide.print(shown)
    classed = [figures for figures in results if "zero_shot" in figures]
    if classed:
        shown = table(_classed(classed[0]["zero_shot"]))
        for name in ["Model", *_zero_shot_cells(classed[0]["zero_shot"])]:
            shown.add_column(name)
        for figures in classed:
            shown.add_row(cell(figures["model"]), *_zero_shot_cells(figures["zero_shot"]).values())
        wide.print(shown)


def _captioned(figures: dict[str, Any]) -> str:
    return f"{plural(figures['photos'], 'photo')}, {plural(figures['queries'], 'caption')}"


def _classed(found: dict[str, Any]) -> str:
    return f"{plural(found['photos'], 'photo')} of {found['classes']:,} classes"


def _retrieval_rows(figures: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    for key, title in DIRECTIONS.items():
        yield title, _cells(figures[key], figures["intervals"][key])
    if "corrected" in figures:  # the other direction is the same with and without
        found = figures["corrected"]
        yield "text to image, corrected", _cells(found["text_to_image"], found["intervals"]["text_to_image"])
    if "reranked" in figures:
        found = figures["reranked"]
        title = "corrected and reranked" if "corrected" in figures else "reranked"
        yield f"text to image, {title}", _cells(found["text_to_image"], found["intervals"]["text_to_image"])


def _rerank_lines(found: dict[str, Any]) -> Iterator[str]:
    """What a reranker gained."""
    gains = (f"{name} {cell}" for name, cell in _gains(found).items())
    yield f"  gained by reranking {found['candidates']} candidates: {'  '.join(gains)}"
    yield f"  reranking takes {found['milliseconds']} ms a query"
    for kind, one in found["changed"].items():
        yield (
            f"  true caption before a false one, {kind} ({one['captions']:,}): first stage {one['first_stage']:.2f} %, "
            f"reranker {one['reranker']:.2f} %, from the texts alone {one['blind']:.2f} %"
        )


def _gains(found: dict[str, Any]) -> dict[str, str]:
    """Figure -> ``+3.12 (+2.16 to +4.10)``."""
    return {
        name: f"{gain['points']:+.2f} ({gain['interval'][0]:+.2f} to {gain['interval'][1]:+.2f})"
        for name, gain in found["gain"].items()
    }


def _zero_shot_cells(found: dict[str, Any]) -> dict[str, str]:
    figures = {name: found[name] for name in found["intervals"]}
    return {**_cells(figures, found["intervals"]), "mean per class": f"{found['mean_per_class']:5.2f}"}


def _cells(figures: dict[str, float], intervals: dict[str, list[float]]) -> dict[str, str]:
    """Figure -> ``21.66 (19.9–23.4)``."""
    return {
        name: f"{value:5.2f} ({intervals[name][0]:.1f}–{intervals[name][1]:.1f})" for name, value in figures.items()
    }


@contextmanager
def jsonl_file(path: Path, force: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields a function that writes one object as a line.  The file takes its name when all went well, or not at all.

    Raises SourceError at once where it cannot be written, or is there already and not to be replaced by ``force``.
    """
    from mmsearch.errors import SourceError
    from mmsearch.media.filesystem import atomic_file

    target = Path(os.path.realpath(os.path.expanduser(path)))  # a link stays one
    if target.exists() and not target.is_file():
        raise SourceError(f"{path} cannot be written: it is {'a folder' if target.is_dir() else 'no regular file'}")
    if target.exists() and not force:
        raise SourceError(f"{path} exists already; choose another file", code="file-exists")
    with atomic_file(target) as draft:
        try:
            file = draft.open("w", encoding="ascii", newline="\n")
        except OSError as error:
            raise SourceError(f"{path} cannot be written: {error.strerror}") from error
        with file:
            yield lambda value: print(json.dumps(value), file=file)
