"""What ``caption``, ``ask`` and ``explain`` share: the encoder and the reranker to look with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch.cli import formatting
from mmsearch.cli.options import is_there, opened, settings_with
from mmsearch.cli.progress_bar import working

if TYPE_CHECKING:
    from mmsearch.library.library import Library
    from mmsearch.rerank.inspect import Looker

PhotoArgument = Annotated[str, typer.Argument(metavar="PHOTO", help="A picture file.")]


@contextmanager
def looker(library: str | None, device: str | None, output: Path | None = None) -> Iterator[Looker]:
    """That of the library; where there is none and none was named, that of the model that a new one would get.

    Raises SourceError where ``output``, which is to be written, is a picture of the library.
    """
    from mmsearch.encoders import factory
    from mmsearch.rerank.inspect import Looker
    from mmsearch.rerank.resolve import for_encoder

    settings = settings_with("cpu", device=device)
    if library is not None or is_there(settings):
        with opened(library, device=device, auto="cpu") as found:
            check_is_no_photo(output, found)
            with working("Loading the model"):
                looker = found.looker()
            yield looker
        return
    with working("Loading the model"):
        choice = factory.choose(settings.model, factory.LoadOptions.of(settings))
    if choice.note:
        formatting.say(choice.note)
    reranker = for_encoder(choice.encoder, settings.reranker)
    assert reranker.encoder is not None  # it was made with one
    yield Looker(reranker.encoder, reranker, settings.max_megapixels)


_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}  # as Pillow calls them


def picture_format(file: Path) -> str:
    """Pillow's name of the format that the ending of a file stands for, one that ``file_to_write`` takes."""
    return _FORMATS[file.suffix.lower()]


def file_to_write(path: Path, photo: str | None = None) -> Path:
    """Where a picture is to be written, of ``photo`` or of none, checked before any work is done.

    Raises BadParameter for a name that says no format, SourceError where the file cannot be written.
    """
    from mmsearch.errors import SourceError

    if path.suffix.lower() not in _FORMATS:
        raise typer.BadParameter(f"must end in .png, .jpg or .webp, not {path.name!r}", param_hint="-o")
    target = Path(os.path.expanduser(path))
    if not target.parent.is_dir():
        raise SourceError(f"{formatting.shown(str(path))} cannot be written: there is no folder {target.parent}")
    if target.is_dir():
        raise SourceError(f"{formatting.shown(str(path))} cannot be written: it is a folder")
    if photo is None:
        return target
    if os.path.realpath(target) == os.path.realpath(photo) or (
        target.exists() and os.path.exists(photo) and os.path.samefile(target, photo)
    ):
        raise SourceError(
            f"{formatting.shown(str(path))} is the photo itself: name another file for the picture of heat"
        )
    return target


def check_is_no_photo(target: Path | None, library: Library) -> None:
    """Raise SourceError where a file that is to be written is a picture of the library, which would be lost."""
    from mmsearch.errors import SourceError

    if target is not None and (target in library or Path(os.path.realpath(target)) in library):
        raise SourceError(f"{formatting.shown(str(target))} is a picture of the library: name another file to write")
