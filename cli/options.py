"""Options that several commands share, and how a command opens its library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch.cli.progress_bar import working

if TYPE_CHECKING:
    from mmsearch.config import Settings
    from mmsearch.library.library import Library

LibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library",
        "-l",
        metavar="DIR|FILE|URL",
        help="The library to use: a folder, postgresql://user@host/database, or a file such as mmsearch.toml that "
        "names its parts. Default: your own, or $MMSEARCH_LIBRARY.",
    ),
]
# What ``index`` and ``watch`` take.
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave out names or paths, in later runs too. May be repeated; '' leaves out nothing any more.",
    ),
]
MaxMegapixelsOption = Annotated[
    float | None, typer.Option("--max-megapixels", metavar="N", min=0.01, help="Skip larger pictures. Default: 200.")
]
RegionsOption = Annotated[
    bool | None,
    typer.Option("--regions/--no-regions", help="Store region tokens, 4 kB a picture. Default: yes."),
]
CaptionsOption = Annotated[bool, typer.Option("--captions", help="Write a caption for each picture that has none yet.")]
SpeechOption = Annotated[
    str | None,
    typer.Option(
        "--speech",
        metavar="MODEL_FOLDER",
        help="Hear what is said in films with this Whisper model, a folder of faster-whisper. Needs mmsearch[speech].",
    ),
]
OcrOption = Annotated[
    bool, typer.Option("--ocr", help="Read the text inside each picture not looked at yet. Needs mmsearch[ocr].")
]

# What ``train`` and ``train-reranker`` take; ``eval`` the first.
CaptionsFileOption = Annotated[
    Path | None, typer.Option("--captions", metavar="FILE.tsv", help="Lines of 'file name<TAB>caption', UTF-8.")
]
ImagesOption = Annotated[Path | None, typer.Option("--images", metavar="DIR", help="The folder with the photos.")]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Of all chance; the same gives the same model.")]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other field of the recipe, see docs. May be repeated."),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out, with all that it was started with.")
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
DeviceOption = Annotated[
    str | None, typer.Option("--device", metavar="auto|cpu|cuda", help="Where the encoder runs. Default: auto.")
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="float32|int8",
        help="Of an open_clip model on a CPU, for new vectors: int8 is quicker and less exact. Default: float32.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="auto, embedded, an open_clip name such as ViT-B-32 or ViT-B-32/laion2b_s34b_b79k, hf-hub:owner/name, or "
        "local-dir:/path.",
    ),
]


TrustPickleOption = Annotated[
    bool,
    typer.Option("--trust-pickle", help="Read weights that are pickles. Only where you trust who made them."),
]


def settings_with(auto: str = "auto", **changes: Any) -> Settings:
    """The settings of this person, changed where an option was given.

    ``auto`` is what the device "auto" means to the command: a single query is quicker on the CPU, where no torch has to
    be imported.
    """
    from dataclasses import replace

    from mmsearch import config

    settings = config.load()
    settings = replace(settings, **{name: value for name, value in changes.items() if value is not None})
    if settings.device == "auto":
        settings = replace(settings, device=auto)
    if settings.device not in ("auto", "cpu", "cuda"):
        raise typer.BadParameter(f"must be auto, cpu or cuda, not {settings.device!r}", param_hint="--device")
    if settings.precision not in ("float32", "int8"):
        raise typer.BadParameter(f"must be float32 or int8, not {settings.precision!r}", param_hint="--precision")
    return settings


def is_there(settings: Settings) -> bool:
    """Whether the person's own library is there; one on a server is not asked."""
    from mmsearch.config import is_address
    from mmsearch.library.library_file import located
    from mmsearch.store.open import has_store

    place, _ = located(None, settings)
    return is_address(place) or has_store(Path(place))


def opened(library: str | None, must_exist: bool = True, auto: str = "auto", **changes: Any) -> Library:
    """The library of this command, with ``settings_with`` these changes.

    Where ``auto`` is "cpu", a command asks once: models are loaded quickly, too.
    """
    from mmsearch.library.opening import open_library

    settings = settings_with(auto, **changes)
    with working("Opening the library"):  # one of an earlier version is brought up to date first
        return open_library(library, settings=settings, quick=auto == "cpu", create=not must_exist)
