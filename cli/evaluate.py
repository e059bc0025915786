"""``mmsearch eval``: how well a model finds captioned photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli import present
from mmsearch.cli.options import DeviceOption, JsonOption, LibraryOption, ModelOption, opened

if TYPE_CHECKING:
    from mmsearch.encoders.protocol import Encoder


def command(
    captions: Annotated[
        Path, typer.Option("--captions", metavar="FILE.tsv", help="Lines of 'file name<TAB>caption', UTF-8.")
    ],
    images: Annotated[Path, typer.Option("--images", metavar="DIR", help="The folder with the photos.")],
    library: LibraryOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    only: Annotated[
        Path | None, typer.Option("--only", metavar="FILE", help="Keep only the file names listed here, one a line.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure caption retrieval: recall at 1, 5 and 10 and mean reciprocal rank, in both directions.

    Without --model it is the model of the library that --library names, or the one that a new library would get.
    """
    from mmsearch.evaluate import evaluate, read_captions

    found = read_captions(captions, only)
    encoder = _encoder(library, model, device)
    with present.progress_bar("Encoding") as progress:
        figures = evaluate(encoder, found, images, progress=progress)
    if json:
        present.json_line(figures)
        return
    print(f"{figures['model']}: {figures['photos']:,} photos, {figures['queries']:,} captions")
    for title, key in (("text to image", "text_to_image"), ("image to text", "image_to_text")):
        print(f"  {title}  " + "  ".join(f"{name} {value:5.2f}" for name, value in figures[key].items()))
    for item in figures["skipped"][:10]:
        present.say(f"skipped {present.shown(item['path'])}: {item['reason']}")


def _encoder(library: Path | None, model: str | None, device: str | None) -> Encoder:
    from mmsearch import config
    from mmsearch.encoders import resolve

    if library is not None and model is None:
        with opened(library, device=device) as found:
            return found.encoder()
    settings = config.load()
    choice = resolve.choose(
        model or settings.model,
        device or settings.device,
        settings.cache,
        (settings.cpu_model, settings.gpu_model),
    )
    if choice.note:
        present.say(choice.note)
    return choice.encoder
