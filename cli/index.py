"""``mmsearch index``: bring the library up to date with folders of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch.cli import formatting, options
from mmsearch.cli.indexed import indexed
from mmsearch.cli.traces import exported

if TYPE_CHECKING:
    from mmsearch.library.library import Library


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH",
            help="Folders, pictures, s3://bucket/prefix, gs://, az:// or https:// files. Default: all that it knows.",
        ),
    ] = None,
    urls: options.UrlsOption = None,
    library: options.LibraryOption = None,
    model: options.ModelOption = None,
    trust_pickle: options.TrustPickleOption = False,
    device: options.DeviceOption = None,
    precision: options.PrecisionOption = None,
    exclude: options.ExcludeOption = None,
    max_megapixels: options.MaxMegapixelsOption = None,
    regions: options.RegionsOption = None,
    captions: options.CaptionsOption = False,
    ocr: options.OcrOption = False,
    speech: options.SpeechOption = None,
    isolate: Annotated[
        bool | None,
        typer.Option(
            "--isolate/--no-isolate",
            help="Decode in processes of their own, so that a crash costs one photo. Default: after a run that died.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for another mmsearch that is writing. Default: yes.")
    ] = True,
    json: options.JsonOption = False,
) -> None:
    """Read the pictures in folders, so that they can be found.

    Run it again at any time: only what is new or changed is read. Pictures that are gone are kept in mind and come
    back without work. Ctrl-C loses nothing; the same command goes on where it stopped.
    """
    changes: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "max_megapixels": max_megapixels,
        "regions": regions,
        "trust_pickle": trust_pickle or None,
        "speech": speech,
    }
    if isolate is not None:
        changes["isolate"] = "always" if isolate else "never"
    with exported("index"), options.opened(library, must_exist=False, **changes) as found:
        if precision is not None and (paths or urls or model is None):
            _say_what_is_kept(found, precision)
        indexed(
            found,
            lambda progress: found.index(
                paths or [],
                urls=urls or (),
                model=model,
                exclude=exclude or None,
                captions=captions,
                ocr=ocr,
                wait=wait,
                progress=progress,
            ),
            json,
        )


def _say_what_is_kept(library: Library, precision: str) -> None:
    """That the vectors that there are stay as they are, where another precision is asked for."""
    stored = library.store.model()
    if stored is None:
        return
    own = "int8" if library.encoder(stored).card.precision == "int8" else "float32"
    if stored.name == "embedded" and precision == "int8":
        formatting.say("the embedded model is not offered in int8; the library keeps its vectors")
    elif own != precision:
        remedy = f"mmsearch reindex --model {stored.name} --precision {precision}"
        formatting.say(f"the library keeps its vectors in {own}; to make them anew: {remedy}")
