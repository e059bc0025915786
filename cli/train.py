"""``mmsearch train``: a model of one's own from captioned photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import (
    CaptionsFileOption,
    DeviceOption,
    ImagesOption,
    JsonOption,
    RecipeOption,
    ResumeOption,
    SeedOption,
    TrustPickleOption,
    settings_with,
)
from mmsearch.cli.train_progress import bar

if TYPE_CHECKING:
    from mmsearch.config import Settings
    from mmsearch.training.common.pairs import Pairs
    from mmsearch.training.contrastive.recipe import Recipe
    from mmsearch.training.contrastive.trainer import Outcome

OBJECTIVES = ("infonce", "sigmoid", "hard", "masked_words", "text_text")


def command(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new folder for the model.")],
    captions: CaptionsFileOption = None,
    images: ImagesOption = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="MODEL", help="embedded, an open_clip name, or local-dir:DIR. Default: embedded."
        ),
    ] = None,
    trust_pickle: TrustPickleOption = False,
    dev: Annotated[
        str | None,
        typer.Option(
            "--dev",
            metavar="FILE.tsv|SHARE",
            help="Captions to choose the epoch by, or a share of the photos. Default: 0.1.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="How often each caption is shown.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Photos a step.")] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option("--micro-batch", help="Photos in memory at once, with the gradient of the whole batch."),
    ] = None,
    image_layers: Annotated[
        int | None, typer.Option("--image-layers", help="Upper layers of the image encoder to train; -1: all.")
    ] = None,
    text_layers: Annotated[
        int | None, typer.Option("--text-layers", help="Upper layers of the text encoder to train; -1: all.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate of the layers on top.")] = None,
    image_lr: Annotated[float | None, typer.Option("--image-lr", help="That of the image encoder.")] = None,
    text_lr: Annotated[float | None, typer.Option("--text-lr", help="That of the text encoder.")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option("--objective", metavar="NAME[=WEIGHT]", help=f"One of {', '.join(OBJECTIVES)}. May be repeated."),
    ] = None,
    arithmetic: Annotated[
        str | None,
        typer.Option(
            "--train-precision",
            metavar="auto|fp32|bf16|fp16",
            help="Of the sums while it is trained. Default: auto, 16 bits on a GPU.",
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option("--precision", hidden=True)] = None,
    seed: SeedOption = None,
    more: RecipeOption = None,
    resume: ResumeOption = False,
    keep_cache: Annotated[
        bool, typer.Option("--keep-cache", help="Keep the features of the frozen layers in DIR/cache.")
    ] = False,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Train a model on captioned photos, starting from another model.

    The folder it writes is a model for --model local-dir:DIR. A run that was interrupted goes on with --resume.

    Without --captions, --images is a tar file with photos and captions side by side (WebDataset: 0001.jpg, 0001.txt),
    a folder of such files or a pattern, data-{000..099}.tar; --dev FILE is one, too. Nothing is unpacked.
    """
    if precision is not None:
        formatting.say("--precision of train is called --train-precision now; elsewhere it is that of vectors")
        arithmetic = precision if arithmetic is None else arithmetic
    direct = {
        "epochs": epochs, "batch": batch, "micro_batch": micro_batch, "image_layers": image_layers,
        "text_layers": text_layers, "lr": lr, "image_lr": image_lr, "text_lr": text_lr, "precision": arithmetic,
        "seed": seed,
    }  # fmt: skip
    check_packages()
    changes = {name: value for name, value in direct.items() if value is not None}
    given = [captions, images, base, dev, objective, more, *changes.values()]
    check_given(resume, given, captions, images, captions is None and images is not None and _in_tar(images))
    settings = settings_with(device=device, trust_pickle=trust_pickle or None)
    with interruptible("train", out):
        if resume:
            outcome = _resume(out, settings, keep_cache)
        else:
            assert images is not None
            wanted = {**changes, **_objectives(objective), **_fields(more)}
            outcome = _start(out, captions, images, base or "embedded", dev or "0.1", wanted, settings, keep_cache)
    if outcome is not None:
        _show(outcome, json)


def _in_tar(images: Path) -> bool:
    """Whether photos and captions come in WebDataset shards."""
    from mmsearch.training.common import shards

    return shards.is_shards(images)


def check_packages() -> None:
    """Raises TrainingError where a package is missing, before anything of torch is imported."""
    from mmsearch.training.common import report

    report.check_packages()


def check_given(
    resume: bool, given: Sequence[Any], captions: Path | None, images: Path | None, in_tar: bool = False
) -> None:
    """Raises BadParameter where --resume comes with what it knows already, or a new run without its data.

    ``in_tar``: the captions are with the photos.
    """
    if resume and any(value is not None for value in given):
        raise typer.BadParameter("goes on with all that the run was started with; leave out everything but --out")
    if not resume and (images is None or (captions is None and not in_tar)):
        raise typer.BadParameter(
            "are needed, unless a run is resumed with --resume", param_hint="--captions and --images"
        )


@contextmanager
def interruptible(name: str, out: Path) -> Iterator[None]:
    """Ctrl-C says how to go on with the run in ``out``."""
    try:
        yield
    except KeyboardInterrupt:
        if (out / "run" / "run.json").exists():
            command = f"mmsearch {name} --resume --out {out}"
            formatting.say(f"interrupted: the last checkpoint is kept; go on with: {command}")
        else:
            formatting.say("interrupted before training began: nothing was kept")
        raise typer.Exit(130) from None


def _start(
    out: Path, captions: Path | None, images: Path, base: str, dev: str, changes: dict[str, Any], settings: Settings,
    keep_cache: bool,
) -> Outcome | None:  # fmt: skip
    from dataclasses import replace

    from mmsearch.errors import ConfigError
    from mmsearch.training.common import checkpoint
    from mmsearch.training.contrastive import bases

    checkpoint.check_new(out)
    base = bases.canonical(base)
    recipe = bases.default_recipe(base)
    try:
        recipe = replace(recipe, **changes)
        recipe.check()
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    part = share(dev)
    origin = {
        "captions": None if captions is None else str(captions.absolute()),
        "images": str(images.absolute()), "base": base,
        "dev": str(Path(dev).absolute()) if part is None else part,
    }  # fmt: skip
    return _train(out, origin, recipe, settings, keep_cache, resume=False)


def _resume(out: Path, settings: Settings, keep_cache: bool) -> Outcome | None:
    from mmsearch.errors import TrainingError
    from mmsearch.training.common.checkpoint import Run
    from mmsearch.training.contrastive.recipe import Recipe

    facts = Run(out).facts()
    if "recipe" not in facts:
        raise TrainingError(f"the run in {out} trains a reranker: go on with it by mmsearch train-reranker --resume")
    return _train(out, facts["origin"], Recipe(**facts["recipe"]), settings, keep_cache, resume=True)


def _train(
    out: Path, origin: dict[str, Any], recipe: Recipe, settings: Settings, keep_cache: bool, resume: bool
) -> Outcome | None:
    from mmsearch.encoders.device import choose_device
    from mmsearch.training.common import distributed, memory
    from mmsearch.training.common.session import RunOptions
    from mmsearch.training.contrastive import bases
    from mmsearch.training.contrastive.trainer import train

    memory.keep_freed()
    where = choose_device(settings.device)
    with distributed.joined(where) as world:
        train_pairs, dev_pairs = pairs_of(origin, recipe.seed)
        trainee = bases.load(origin["base"], recipe, settings.trust_pickle)
        if world.first:
            formatting.say(
                f"training {origin['base']} on {formatting.plural(len(train_pairs), 'photo')} with "
                f"{formatting.plural(train_pairs.captions, 'caption')}; "
                f"{formatting.plural(len(dev_pairs), 'dev photo')}"
            )
        with bar() as progress:
            outcome = train(
                trainee, train_pairs, dev_pairs, recipe, out,
                options=RunOptions(
                    where, resume, keep_cache, progress=progress, reranker=settings.reranker, origin=origin, world=world
                ),
            )  # fmt: skip
        return outcome if world.first else None


def pairs_of(origin: dict[str, Any], seed: int) -> tuple[Pairs, Pairs]:
    from mmsearch.errors import SourceError
    from mmsearch.training.common import pairs

    folder = Path(origin["images"])
    in_tar = origin["captions"] is None
    found = pairs.read_shards(folder) if in_tar else pairs.read(Path(origin["captions"]), folder)
    if isinstance(origin["dev"], float):
        return pairs.split(found, origin["dev"], seed)
    dev = pairs.read_shards(Path(origin["dev"])) if in_tar else pairs.read(Path(origin["dev"]), folder)
    kept = pairs.without(found, dev)
    if not len(kept):
        raise SourceError(f"no pairs are left: all photos of {origin['captions'] or folder} are in {origin['dev']} too")
    if len(kept) < len(found):
        formatting.say(f"{formatting.plural(len(found) - len(kept), 'photo')} of --dev left out of training")
    return kept, dev


def share(dev: str) -> float | None:
    """The share that ``--dev`` names; None where it is a file."""
    try:
        part = float(dev)
    except ValueError:
        return None
    if not 0 <= part < 1:
        raise typer.BadParameter(f"a share must be at least 0 and below 1, not {dev}", param_hint="--dev")
    return part


def _objectives(given: list[str] | None) -> dict[str, float]:
    """Weights of the objectives; those that are not named when any is get 0."""
    if not given:
        return {}
    weights = dict.fromkeys(OBJECTIVES, 0.0)
    for text in given:
        name, equals, value = text.partition("=")
        if name not in weights:
            raise typer.BadParameter(f"must be one of {', '.join(OBJECTIVES)}, not {name!r}", param_hint="--objective")
        weights[name] = _number(value, float, "--objective") if equals else 1.0
    return weights


def _fields(given: list[str] | None) -> dict[str, Any]:
    from dataclasses import fields

    from mmsearch.training.contrastive.recipe import Recipe

    return set_fields(given, {field.name: field.default for field in fields(Recipe)})


def set_fields(given: list[str] | None, defaults: dict[str, Any]) -> dict[str, Any]:
    """What ``--set`` asks for, in the kinds that ``defaults`` have."""
    found: dict[str, Any] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in defaults:
            raise typer.BadParameter(f"wanted NAME=VALUE with one of {', '.join(defaults)}", param_hint="--set")
        kind = type(defaults[name])
        if kind is bool:
            if value not in ("true", "false"):
                raise typer.BadParameter(f"{name} is true or false, not {value!r}", param_hint="--set")
            found[name] = value == "true"
        else:
            found[name] = value if kind is str else _number(value, kind, "--set")
    return found


def _number(text: str, kind: Any, option: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise typer.BadParameter(f"wanted {what}, not {text!r}", param_hint=option) from None


def _show(outcome: Outcome, json: bool) -> None:
    if json:
        formatting.json_line(schemas.trained(outcome))
        return
    for said in report(outcome):
        print(said)
    print(f"use it with: --model local-dir:{outcome.folder}")


def report(outcome: Outcome) -> list[str]:
    """What a run gave, in lines for people."""
    from mmsearch.training.contrastive import summary

    lines = [f"kept epoch {outcome.epoch} of {outcome.epochs_run}, {formatting.plural(outcome.steps, 'step')}"]
    if outcome.before and outcome.after:
        for title, key in summary.DIRECTIONS:
            before, after = outcome.before[key], outcome.after[key]
            found = "  ".join(f"{name} {before[name]:.2f} -> {after[name]:.2f}" for name in after)
            lines.append(f"  {title}  {found}")
            if outcome.gain and outcome.epoch:
                won = "  ".join(f"{name} {summary.gained(one)}" for name, one in outcome.gain[key].items())
                lines.append(f"    gain, with its 95 % interval  {won}")
    lines += summary.verdict(outcome.epoch, outcome.gain)
    if outcome.companions is not None:
        lines += summary.beside(outcome.companions, str(outcome.folder))
    return lines
