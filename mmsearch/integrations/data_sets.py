"""Pictures of data sets as files, and a library's photos as data sets: Hugging Face ``datasets`` and torch.

What is in files is a library's truth, so that pictures which come as bytes or pixels are written into a folder that the
user names, and indexed there.  Files are named by the row of the data set, never by what it calls them.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mmsearch.errors import ArgumentError, TransferError
from mmsearch.integrations.needed import needed
from mmsearch.media import in_memory
from mmsearch.media.filesystem import atomic_write, read_regular
from mmsearch.types import Photo, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable

    import datasets
    import pyarrow

    from mmsearch.integrations.torch_data import PhotoDataset

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp"}
CAPTION = ".txt"  # beside a picture: read when it is indexed
Key: TypeAlias = str | int  # of a column, or the place in a pair


def rows_of(given: Any, image: Key) -> Iterator[Any]:
    """The rows of a Hugging Face data set with encoded pictures, of a torch one, or of any iterable."""
    if hasattr(given, "cast_column") and hasattr(given, "features"):
        kind = needed("datasets", "datasets", "a data set of Hugging Face")
        names = list(given.features or ())
        if names and image not in names:
            raise ArgumentError("image", repr(image), f"a column of the data set ({', '.join(names)})")
        given = given.cast_column(image, kind.Image(decode=False))
        yield from given
    elif hasattr(given, "__getitem__") and hasattr(given, "__len__") and not isinstance(given, (str, bytes, Mapping)):
        for number in range(len(given)):
            yield given[number]
    elif hasattr(given, "__iter__") and not isinstance(given, (str, bytes, Mapping)):
        yield from given
    else:
        raise ArgumentError("dataset", in_memory.described(given), "a data set: rows or pairs with a picture each")


def write_pictures(given: Any, folder: Path, image: Key, caption: Key | None) -> Iterator[Path | Skipped]:
    """Write the picture of each row into a folder, and its captions beside it; where it is, or why there is none.

    Files that are there with the same content stay; nothing else is written over.  Raises TransferError where another
    file has the name, or nothing can be written; ArgumentError for a row without what ``image`` and ``caption`` name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TransferError(f"{folder} cannot be made: {error.strerror or error}") from error
    for number, row in enumerate(rows_of(given, image)):
        name = f"{number:08d}"
        try:
            content = _encoded(_value(row, image, "image", number))
            suffix = _suffix(content)
        except (ValueError, OSError) as error:
            yield Skipped(f"row {number}", " ".join(str(error).split()))
            continue
        file = folder / (name + suffix)
        _put(file, content)
        said = [] if caption is None else _captions(_value(row, caption, "caption", number), number)
        if said:
            _put(folder / (name + CAPTION), ("\n".join(said) + "\n").encode("utf-8", "replace"))
        yield file


def _value(row: Any, key: Key, argument: str, number: int) -> Any:
    try:
        return row[key]
    except (KeyError, IndexError, TypeError) as error:
        has = list(row) if isinstance(row, Mapping) else in_memory.described(row)
        raise ArgumentError(argument, repr(key), f"in row {number} of the data set ({has})") from error


def _encoded(value: Any) -> bytes:
    """The bytes of a picture file.  Raises ValueError for what is no picture, OSError where a file cannot be read."""
    if isinstance(value, Mapping) and {"bytes", "path"} >= set(value):  # of Hugging Face
        value = value.get("bytes") or value.get("path")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (str, os.PathLike)):
        if re.match(r"[a-z][a-z0-9+.-]+://", os.fspath(value)):
            raise ValueError(f"{value} is no file of this machine: download it first")
        return read_regular(value)
    if in_memory.is_image(value):
        file = io.BytesIO()
        picture = value if value.mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16") else value.convert("RGB")
        picture.save(file, "PNG", exif=value.getexif())
        return file.getvalue()
    array = in_memory.array_of(value)
    if array is not None:
        from PIL import Image

        problem = in_memory.problem(array)
        if problem is not None:
            raise ValueError(problem)
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        return file.getvalue()
    raise ValueError(f"no picture: {in_memory.described(value)}")


def _suffix(content: bytes) -> str:
    """By what is in it.  Raises ValueError for what is no picture, or of another kind."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            found = opened.format or ""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"no picture that can be read: {error}") from error
    if found not in SUFFIXES:
        raise ValueError(f"pictures of the kind {found} are not taken; {', '.join(SUFFIXES)} are")
    return SUFFIXES[found]


def _captions(value: Any, number: int) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if texts is None:
        return []
    if not isinstance(texts, (list, tuple)) or not all(isinstance(one, str) for one in texts):
        raise ArgumentError("caption", in_memory.described(value), f"a text or a list of texts in row {number}")
    return [line for one in texts if (line := " ".join(one.split()))]


def _put(file: Path, content: bytes) -> None:
    try:
        if file.exists() or file.is_symlink():
            if read_regular(file) != content:
                raise TransferError(f"{file} is there with other content; name another folder", code="file-exists")
            return
        atomic_write(file, content)
    except OSError as error:
        raise TransferError(f"{file} cannot be written: {error.strerror or error}") from error


def hugging_face(table: pyarrow.Table) -> datasets.Dataset:
    """A table of photos or hits as a data set of Hugging Face, with the column ``image``, opened when it is looked at.

    Rows whose path is no UTF-8 have no image.  Raises MMSearchError (``needs-datasets``).
    """
    kind = needed("datasets", "datasets", "a data set of Hugging Face")
    odd = table.column("path_bytes").to_pylist()
    paths = [None if one else path for path, one in zip(table.column("path").to_pylist(), odd, strict=True)]
    made = kind.Dataset(table)
    with_paths: datasets.Dataset = made.add_column("image", paths).cast_column("image", kind.Image())
    return with_paths


def torch_data_set(
    photos: Sequence[Photo], transform: Callable[[Any], Any] | None, side: int, max_megapixels: float
) -> PhotoDataset:
    """Photos as a map-style data set of torch: see ``Items.to_torch``.  Raises MMSearchError (``needs-torch``)."""
    needed("torch", None, "a data set of torch")
    from mmsearch.integrations.torch_data import PhotoDataset

    captions = [[text for text in (photo.caption, photo.description) if text] for photo in photos]
    return PhotoDataset([photo.path for photo in photos], captions, transform, side, max_megapixels)
