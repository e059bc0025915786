"""``mmsearch train-reranker``: a reranker of one's own, for the model of one's library."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch import schemas
from mmsearch.cli import formatting, train
from mmsearch.cli.options import (
    CaptionsFileOption,
    DeviceOption,
    ImagesOption,
    JsonOption,
    RecipeOption,
    ResumeOption,
    SeedOption,
    settings_with,
)
from mmsearch.cli.train_progress import bar

if TYPE_CHECKING:
    from mmsearch.training.reranker.recipe import RerankRecipe
    from mmsearch.training.reranker.trainer import RerankOutcome


def command(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new folder for the reranker.")],
    captions: CaptionsFileOption = None,
    images: ImagesOption = None,
    questions: Annotated[
        Path | None,
        typer.Option("--questions", metavar="DIR", help="A folder with qa.tsv (file, question, answer) and images/."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="The first stage's model. Default: embedded.")
    ] = None,
    dev: Annotated[
        str | None,
        typer.Option("--dev", metavar="FILE.tsv|SHARE", help="Captions to judge by, or a share. Default: 0.1."),
    ] = None,
    attention: Annotated[
        str | None, typer.Option("--attention", metavar="bidirectional|co-attention|hierarchical")
    ] = None,
    fusion: Annotated[str | None, typer.Option("--fusion", metavar="concatenation|transform|gated|tensor")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of training.")] = None,
    seed: SeedOption = None,
    more: RecipeOption = None,
    resume: ResumeOption = False,
    keep_cache: Annotated[bool, typer.Option("--keep-cache", help="Keep the photos' tokens in DIR/cache.")] = False,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Train a reranker on captioned photos, and on questions about them made from the captions.

    The folder it writes is used by libraries of the same model with the setting reranker = "DIR". A run that was
    interrupted goes on with --resume.
    """
    direct = {"attention": attention, "fusion": fusion, "steps": steps, "seed": seed}
    train.check_packages()
    changes = {name: value for name, value in direct.items() if value is not None}
    given = [captions, images, questions, model, dev, more, *changes.values()]
    train.check_given(resume, given, captions, images)
    with train.interruptible("train-reranker", out):
        if resume:
            outcome, figures = _resume(out, device, keep_cache)
        else:
            assert captions is not None
            assert images is not None
            origin = {
                "captions": str(captions.absolute()), "images": str(images.absolute()),
                "questions": str(questions.absolute()) if questions else "", "model": _model(model), "dev": _dev(dev),
            }  # fmt: skip
            outcome, figures = _start(out, origin, {**changes, **_fields(more)}, device, keep_cache)
    _show(outcome, figures, json)


def _start(
    out: Path, origin: dict[str, Any], changes: dict[str, Any], device: str | None, keep_cache: bool
) -> tuple[RerankOutcome, dict[str, Any]]:
    from mmsearch.errors import ConfigError
    from mmsearch.training.common import checkpoint
    from mmsearch.training.reranker.recipe import RerankRecipe

    checkpoint.check_new(out)
    try:
        recipe = replace(RerankRecipe(), **changes)
        recipe.check()
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    return _run(out, origin, recipe, device, keep_cache, resume=False)


def _resume(out: Path, device: str | None, keep_cache: bool) -> tuple[RerankOutcome, dict[str, Any]]:
    from mmsearch.errors import TrainingError
    from mmsearch.training.common.checkpoint import Run
    from mmsearch.training.reranker.recipe import RerankRecipe

    facts = Run(out).unfinished()
    if "reranker_recipe" not in facts:
        raise TrainingError(f"the run in {out} trains an encoder: go on with it by mmsearch train --resume")
    return _run(out, facts["origin"], RerankRecipe(**facts["reranker_recipe"]), device, keep_cache, resume=True)


def _run(
    out: Path, origin: dict[str, Any], recipe: RerankRecipe, device: str | None, keep_cache: bool, resume: bool
) -> tuple[RerankOutcome, dict[str, Any]]:
    from mmsearch.encoders import factory
    from mmsearch.encoders.device import choose_device
    from mmsearch.rerank.resolve import SHIPPED
    from mmsearch.rerank.words import WordEncoder
    from mmsearch.training.common import memory
    from mmsearch.training.common.session import RunOptions
    from mmsearch.training.reranker import run
    from mmsearch.training.reranker.preparation import Sources, WrittenQuestions
    from mmsearch.training.reranker.questions import read_daquar

    memory.keep_freed()
    settings = settings_with(device=device)
    where = choose_device(settings.device)
    choice = factory.choose(
        origin["model"], factory.LoadOptions.of(replace(settings, device=where, precision="float32"))
    )
    learned, judged = train.pairs_of(origin, recipe.seed)
    folder = Path(origin["questions"])
    written = WrittenQuestions(folder / "images", read_daquar(folder)) if origin["questions"] else None
    words = WordEncoder(factory.EMBEDDED, SHIPPED / "words.onnx")
    formatting.say(
        f"training a reranker for {choice.encoder.card.name} on {formatting.plural(len(learned), 'photo')} with "
        f"{formatting.plural(learned.captions, 'caption')}; {formatting.plural(len(judged), 'dev photo')}"
    )
    with bar() as progress:
        options = RunOptions(where, resume, keep_cache, progress=progress, origin=origin)
        sources = Sources(learned, judged, written)
        return run.run(choice.encoder, words, sources, recipe, out, f"local-dir:{out.absolute()}", options)


def _model(name: str | None) -> str:
    """A name that means the same in another folder, for whoever resumes the run.  Raises ModelError."""
    from mmsearch.encoders.hub import registry

    wanted = name or "embedded"
    return wanted if wanted in ("auto", "embedded") else registry.find(wanted).name


def _dev(given: str | None) -> str | float:
    """The path of a file of captions, or a share of the photos."""
    share = train.share(given or "0.1")
    if share == 0:
        raise typer.BadParameter(
            "a reranker is judged by some photos: how much its scores count is chosen on them", param_hint="--dev"
        )
    return str(Path(given or "").absolute()) if share is None else share


def _fields(given: list[str] | None) -> dict[str, Any]:
    from mmsearch.training.reranker.recipe import RerankRecipe

    return train.set_fields(given, {field.name: field.default for field in fields(RerankRecipe)})


def _show(outcome: RerankOutcome, figures: dict[str, Any], json: bool) -> None:
    if json:
        formatting.json_line(schemas.reranker_trained(outcome, figures))
        return
    rule, rules = figures["rule"], figures["rules"]
    name = f"{rule['rule']} {rule['weight']}" if rule["rule"] == "weighted" else rule["rule"]
    print(f"kept step {outcome.step} of {outcome.steps}")
    before, after = rules["weighted 0.0"]["all"], rules[name]["all"]
    shown = (f"R@{k} {b} -> {a}" for k, b, a in zip((1, 5, 10), before, after, strict=True))
    print(f"  text to image  {'  '.join(shown)}")
    changed = figures["changed"]["all"]
    print(f"  true caption before a changed one  {changed['first_stage']} -> {changed['reranker']} %")
    for source, value in figures["answers"].items():
        print(f"  answers, {source.replace('_', ' ')}  {value} %")
    print(f'use it with: reranker = "{outcome.folder}" in the settings, or MMSEARCH_RERANKER={outcome.folder}')
