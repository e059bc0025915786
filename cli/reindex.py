"""``mmsearch reindex``: another model for a library that exists, the way back, and the space of the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption, PrecisionOption, opened
from mmsearch.cli.progress_bar import progress_bar, working

if TYPE_CHECKING:
    from mmsearch.library.library import Library


def command(
    library: LibraryOption = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Encode all pictures with this model.")
    ] = None,
    activate: Annotated[
        str | None,
        typer.Option(
            "--activate",
            metavar="MODEL",
            help="Search with a model whose vectors are kept, by name or fingerprint.",
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop the vectors of models that are not searched with.")
    ] = False,
    device: DeviceOption = None,
    precision: PrecisionOption = None,
    json: JsonOption = False,
) -> None:
    """Change the model of a library without a pause.

    The old vectors serve until the new ones are complete, and are kept after that: --activate goes back to them. An
    interrupted run goes on with the same command. Of two models of one name, --precision says which to go back to; else
    it is the one not searched with. Without options, the models are listed.
    """
    if model and activate:
        raise typer.BadParameter("--model encodes, --activate goes back to what is encoded: give one of them")
    with opened(library, device=device, precision=precision) as found:
        if model:
            try:
                with progress_bar("Encoding") as progress:
                    report = found.index(model=model, wait=True, progress=progress)
            except KeyboardInterrupt:
                formatting.say("interrupted: nothing is lost, and the old model serves; the same command goes on")
                raise typer.Exit(130) from None
            for line in (*report.notes, *(() if json else formatting.report_lines(report))):
                formatting.say(line)
        if activate:
            with working("Changing the model"):
                found.activate(_chosen(found, activate, precision))
        if prune:
            with working("Dropping vectors"):
                dropped = found.prune()
            formatting.say(f"dropped {formatting.plural(dropped, 'vector')}")
        kept = [(one, found.precision_of(one.model)) for one in found.kept_models()]
    if json:
        for one, precise in kept:
            formatting.json_line(schemas.kept_model(one, precise))
        return
    if not kept:
        formatting.say("nothing is indexed yet: mmsearch index FOLDER")
    names = [one.model.name for one, _ in kept]
    for one, precise in kept:
        name = formatting.model_name(one.model.name, precise)
        if names.count(one.model.name) > 1:
            name += f" ({one.model.fingerprint})"
        state = "searched with" if one.active else "kept"
        if one.lacking:
            state += f", {formatting.plural(one.lacking, 'picture')} without a vector"
        print(f"{name}: {formatting.plural(one.vectors, 'vector')} of {one.model.dim} dimensions, {state}")


def _chosen(library: Library, name: str, precision: str | None) -> str:
    """The fingerprint of the model of that name in that precision; the name itself where no precision is given."""
    if precision is None:
        return name
    fitting = [one.model for one in library.kept_models() if name in (one.model.name, one.model.fingerprint)]
    wanted = [model for model in fitting if (library.precision_of(model) == "int8") == (precision == "int8")]
    if fitting and not wanted:
        raise typer.BadParameter(f"the library has no vectors of {name} in {precision}", param_hint="--precision")
    return wanted[0].fingerprint if wanted else name
