"""``mmsearch ask``: answers to a question about a photo."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.cli.looking import PhotoArgument, looker
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption
from mmsearch.cli.progress_bar import working


def command(
    photo: PhotoArgument,
    question: Annotated[list[str], typer.Argument(metavar="QUESTION", help='Such as "what is the man holding?"')],
    library: LibraryOption = None,
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="How many answers.")] = 3,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Ask about a photo: the likeliest answers, each with how sure the model is of it, in [0, 1]."""
    asked = " ".join(question)
    with looker(library, device) as found, working("Looking"):
        answers = found.ask(photo, asked, k)
    if json:
        formatting.json_line(schemas.answers(photo, asked, answers))
        return
    for answer in answers:
        print(f"{answer.confidence:.3f}  {answer.text}")
