"""Which decoder a picture file is for: opened, its pixels not yet read."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import logging
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

from PIL import (  # noqa: F401 - each of these imports registers its format in Image.OPEN
    AvifImagePlugin,
    BmpImagePlugin,
    DdsImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PcxImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from mmsearch.errors import ImageError
from mmsearch.media import jxl, tiff
from mmsearch.media.formats import needs_extra
from mmsearch.media.raw import is_raw, open_raw
from mmsearch.media.side_parts import without_side_parts, without_zeros

# In the order they are tried.  AVIF before HEIF: both claim the brand "mif1".  TGA has no signature, so it is tried on
# files of that name only.  What else Pillow knows stays closed: EPS would run Ghostscript on a file nobody vouches for.
_FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM", "ICO", "DDS", "PCX", "PSD", "TGA",
)  # fmt: skip
_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())

DAMAGED_METADATA = "metadata in the file cannot be read"
_VERSION_INFO = 1057  # resource of a Photoshop file that says whether it has a composite
_heif_lock = threading.Lock()

# What is wrong with a file stands in its ImageError.  Pillow's log would go to stderr where no logging is set up.
logging.getLogger("PIL").addHandler(logging.NullHandler())
with contextlib.suppress(AttributeError, OSError, TypeError):  # libtiff is built into Pillow, or there is none
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)  # it prints to stderr what it also returns


@dataclass(frozen=True)
class Opened:
    """A picture whose pixels are not yet read."""

    image: ImageFile.ImageFile  # that has the pixels
    file: BinaryIO  # that it is read from
    about: Image.Image  # what says something about the picture: the same, or what it stands beside
    damage: str | None = None  # in words
    orientation: int | None = None  # as in EXIF, where something else than the image says it
    size: tuple[int, int] | None = None  # of the original as it is stored, where the image is a smaller version


def open_picture(file: BinaryIO, path: str) -> Opened:
    """The picture in ``file``.

    The work of ``Image.open`` without its check against ``Image.MAX_IMAGE_PIXELS``.  Our limit is an argument; Pillow's
    belongs to the whole process, and there is no way to lift it for one thread: setting it, and
    ``warnings.catch_warnings`` around its warning, show in every other thread, among them those of a program that uses
    this package.  So the classes that ``Image.open`` would choose from are called directly.  A few of them check for
    themselves before they reserve memory: GIF, ICO, and (in newer Pillow) WebP of more than twice Pillow's limit, that
    is 179 megapixels.  There Pillow's limit stays, which is the safe side.
    """
    file.seek(0)
    prefix = file.read(16)
    if not prefix:
        raise ImageError(path, "the file is empty")
    if is_raw(path, prefix):
        image, about, orientation, size = open_raw(file, path)
        return Opened(image, file if image.fp is file else cast(BinaryIO, image.fp), about, None, orientation, size)
    if jxl.accept(prefix):
        return _open_jxl(file, path)
    suffix = os.path.splitext(path)[1].lower()
    said = "not a picture that can be read"
    for name in _FORMATS:
        if name == "TGA" and suffix != ".tga":
            continue
        if name == "HEIF":
            if prefix[4:8] != b"ftyp" or prefix[8:12] not in _HEIF_BRANDS:
                continue
            if not _register_heif():
                raise ImageError(path, needs_extra("heif"), retry=True)
        factory, accept = Image.OPEN[name]
        try:
            accepted = accept is None or accept(prefix)
            if accepted is True:
                return _opened(factory, file, name, path)
            if accepted:  # a sentence: Pillow was built without this format
                said = f"cannot be decoded: {accepted}"
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open: perhaps another format
            if accept is not None:  # it has a signature, and the file bears it
                said = reason(error)
    raise ImageError(path, said)


_Factory = Callable[..., ImageFile.ImageFile]


def _opened(factory: _Factory, file: BinaryIO, name: str, path: str) -> Opened:
    """A picture of this format; of a TIFF that begins with a preview the one behind it, of a JPEG what is no zeros."""
    if name == "JPEG":
        file = without_zeros(file) or file
    page = tiff.main_page(file) if name == "TIFF" else None
    if page is None:
        return _with_or_without_side_parts(factory, file, name, path)
    found = _with_or_without_side_parts(factory, page, name, path)
    with contextlib.suppress(Exception):  # the preview may be of any kind
        preview = _with_or_without_side_parts(factory, file, name, path).image
        own = tiff.orientation(found.image)
        return replace(found, about=preview, orientation=tiff.orientation(preview) if own is None else None)
    return found


def _with_or_without_side_parts(factory: _Factory, file: BinaryIO, name: str, path: str) -> Opened:
    """A picture of this format; where what stands beside its pixels cannot be read, without that."""
    # Without a name: Pillow would map the file of that name into memory instead of reading this one.
    file.seek(0)
    damage = None
    try:
        image = factory(file, "")
    except Exception:
        found = _without_side_parts(factory, file, name)
        if found is None:
            raise
        image, damage = found, DAMAGED_METADATA
    wrong = None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        wrong = tiff.correct(image)
    elif isinstance(image, PsdImagePlugin.PsdImageFile):
        wrong = _correct_composite(image)
    if wrong is not None:
        raise ImageError(path, wrong)
    return Opened(image, file, image, damage)


def _without_side_parts(factory: _Factory, file: BinaryIO, name: str) -> ImageFile.ImageFile | None:
    """None where it cannot be read then either: what was said the first time is what is wrong."""
    with contextlib.suppress(Exception):
        bare = without_side_parts(file, name)
        return None if bare is None else factory(bare, "")
    return None


def _open_jxl(file: BinaryIO, path: str) -> Opened:
    if importlib.util.find_spec("pillow_jxl") is None:
        raise ImageError(path, needs_extra("jxl"), retry=True)
    image = jxl.JxlImageFile(file, path)
    return Opened(image, file, image)


def _correct_composite(image: PsdImagePlugin.PsdImageFile) -> str | None:
    """Leaves out of a Photoshop file what is no transparency; returns what is wrong where it has no composite."""
    versions = [data for number, _, data in image.resources if number == _VERSION_INFO]
    if versions and len(versions[0]) > 4 and not versions[0][4]:
        return "there is no picture of all layers in it: save it with maximum compatibility"
    if image.mode == "RGBA" and not _has_clear_composite(image):
        image._mode, image.tile = "RGB", image.tile[:3]
    return None


def _has_clear_composite(image: PsdImagePlugin.PsdImageFile) -> bool:
    """Whether the fourth channel says what is clear, as a count of layers below 0 tells; else it is a saved mask."""
    file, place = image.fp, image._layers_position
    if file is None or place is None:
        return False
    start = file.tell()
    file.seek(place)
    count = file.read(2)
    file.seek(start)
    return len(count) == 2 and bool(count[0] & 0x80)


def _register_heif() -> bool:
    """Teach Pillow HEIC, when the first such file comes; False where pillow_heif is not installed."""
    with _heif_lock:
        if "HEIF" not in Image.OPEN:
            try:
                import pillow_heif
            except ImportError:
                return False
            pillow_heif.register_heif_opener()
    return True


def reason(error: Exception) -> str:
    """What is wrong with a file, in words: what ``error`` of a decoder says."""
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than Pillow allows in this format"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    text = " ".join(str(error).split())[:200] or type(error).__name__
    ends_early = (EOFError, IndexError, struct.error)  # Pillow wraps these in a SyntaxError
    if isinstance(error, ends_early) or isinstance(error.__cause__, ends_early) or "truncated" in text.lower():
        return "the file is truncated"
    return f"cannot be decoded: {text}"
