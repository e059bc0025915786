"""``mmsearch eval``: how well models find captioned photos, and tell classes of photos apart."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch.cli import formatting
from mmsearch.cli.options import (
    CaptionsFileOption,
    DeviceOption,
    JsonOption,
    LibraryOption,
    TrustPickleOption,
    opened,
    settings_with,
)
from mmsearch.cli.progress_bar import progress_bar, working

if TYPE_CHECKING:
    from mmsearch.encoders.protocol import Encoder
    from mmsearch.evaluation.evaluate import Dump
    from mmsearch.evaluation.plots import Curves
    from mmsearch.rerank.reranker import Reranker


def command(
    images: Annotated[Path, typer.Option("--images", metavar="DIR", help="The folder with the photos.")],
    captions: CaptionsFileOption = None,
    zero_shot: Annotated[
        Path | None,
        typer.Option(
            "--zero-shot",
            metavar="CLASSES.txt",
            help="Tell these classes apart: lines of 'folder or start of file names<TAB>class name, synonym', "
            "or of class names that are folders.",
        ),
    ] = None,
    library: LibraryOption = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="MODEL", help="As for index. Several are compared in one table."),
    ] = None,
    trust_pickle: TrustPickleOption = False,
    device: DeviceOption = None,
    only: Annotated[
        Path | None,
        typer.Option("--only", metavar="FILE", help="Keep the captions of the file names listed here, one a line."),
    ] = None,
    background: Annotated[
        Path | None,
        typer.Option(
            "--background", metavar="FILE.txt", help="Texts, one a line: add the figures after background correction."
        ),
    ] = None,
    beta: Annotated[
        float, typer.Option("--beta", min=0.0, help="Share of the background that is taken off a score.")
    ] = 0.5,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Rerank what the first stage found: add the figures and what was gained.")
    ] = False,
    candidates: Annotated[
        int | None, typer.Option("--candidates", min=1, metavar="N", help="Photos to rerank. Default: 100.")
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", metavar="FILE.jsonl", help="Write each query with its rank and the best answers."),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, metavar="N", help="With --dump: so many answers each. Default: 5.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE.png",
            help="Draw recall curves, and how far relevance can be trusted; .svg and .pdf too. Needs mmsearch[plots].",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --dump and --plot: replace the file.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure caption retrieval in both directions, zero-shot classification, or both.

    Each figure comes with its 95 % interval, from 1000 bootstrap samples of the photos. Without --model it is the
    model of the library that --library names, or the one that a new library would get.
    """
    if captions is None and zero_shot is None:
        raise typer.BadParameter("give --captions, --zero-shot, or both")
    for name, value in (("--only", only), ("--background", background), ("--plot", plot)):
        if value is not None and captions is None:
            raise typer.BadParameter(f"{name} needs --captions")
    if rerank and captions is None:
        raise typer.BadParameter("--rerank needs --captions")
    if candidates is not None and not rerank:
        raise typer.BadParameter("--candidates needs --rerank")
    if dump is None and top is not None:
        raise typer.BadParameter("--top needs --dump")
    if force and dump is None and plot is None:
        raise typer.BadParameter("--force needs --dump or --plot")
    if not math.isfinite(beta):
        raise typer.BadParameter(f"must be a number from 0, not {beta}", param_hint="--beta")

    from mmsearch.evaluation.evaluate import DUMPED, Measures, evaluate, read_captions, read_classes, read_texts

    curves = _curves(plot, force)
    found = read_captions(captions, only) if captions is not None else None
    classes = read_classes(zero_shot) if zero_shot is not None else None
    querybank = read_texts(background) if background is not None else None
    models: list[str | None] = [*dict.fromkeys(model or [])] or [None]
    _check(models)
    results: list[dict[str, Any]] = []
    several = len(models) > 1
    with formatting.jsonl_file(dump, force) if dump is not None else nullcontext() as write:
        try:
            for one in models:
                encoder = _encoder(library, one, device, trust_pickle)
                reranker = _reranker(encoder) if rerank else None
                told = write if curves is None else _both(write, curves.add)
                measures = Measures(
                    classes, querybank, beta, reranker, candidates or 100, told, top or DUMPED, curves is not None
                )
                with progress_bar(f"Encoding, {encoder.card.name}" if several else "Encoding") as progress:
                    figures = evaluate(encoder, found, images, measures, progress=progress)
                results.append(figures)
                if json:
                    formatting.json_line(figures)
        finally:  # what was measured before another model failed is not lost
            if not json and several:
                formatting.eval_tables(results)
    if plot is not None and curves is not None:
        _draw(curves, results, plot)
    if not json and not several:
        for line in formatting.eval_lines(results[0]):
            print(line)
    if not json:
        for item in results[0]["skipped"][:10]:
            formatting.say(f"skipped {formatting.shown(item['path'])}: {item['reason']}")
        if len(results[0]["skipped"]) > 10:
            formatting.say(f"… and {len(results[0]['skipped']) - 10:,} more; --json lists them")


def _curves(file: Path | None, force: bool) -> Curves | None:
    """What gathers the ranks for a figure, where one is asked for.  Raises SourceError where it cannot be written."""
    if file is None:
        return None
    from mmsearch.evaluation import plots

    plots.check(file, force)
    return plots.Curves()


def _both(write: Dump | None, add: Dump) -> Dump:
    def told(line: dict[str, Any]) -> None:
        add(line)
        if write is not None:
            write(line)

    return told


def _draw(curves: Curves, results: list[dict[str, Any]], file: Path) -> None:
    from mmsearch.evaluation import plots

    diagrams = {one["model"]: [plots.Bin(*row) for row in one["reliability"]] for one in results}
    plots.save(plots.figure(curves, diagrams), file)
    formatting.say(f"drawn: {formatting.shown(str(file))}")
    if not any(diagrams.values()):
        formatting.say("reliability was left out: the captions name too few things for so few photos")


def _check(models: list[str | None]) -> None:
    """Raises ModelError for a name that no model has, before hours are spent on another one."""
    from mmsearch.encoders.hub import registry

    if len(models) > 1:
        for name in models:
            if name and name not in ("auto", "embedded"):
                registry.find(name)


def _reranker(encoder: Encoder) -> Reranker:
    """Raises ModelError where the model has none."""
    from mmsearch import config
    from mmsearch.rerank.resolve import for_encoder

    return for_encoder(encoder, config.load().reranker)


def _encoder(library: str | None, model: str | None, device: str | None, trust_pickle: bool) -> Encoder:
    from mmsearch.encoders import factory

    changes: dict[str, Any] = {"device": device, "trust_pickle": trust_pickle or None}
    if library is not None and model is None:
        with opened(library, **changes) as found, working("Loading the model"):
            return found.encoder()
    settings = settings_with(**changes)
    with working("Loading the model"):
        choice = factory.choose(model or settings.model, factory.LoadOptions.of(settings))
    if choice.note:
        formatting.say(choice.note)
    return choice.encoder
