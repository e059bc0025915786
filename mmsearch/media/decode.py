"""One picture file to the pixels an encoder wants: upright, on white, in RGB.

Colour profiles (ICC) are ignored, as open_clip ignores them: its models were trained that way.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
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
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from mmsearch.errors import ImageError
from mmsearch.media.embedded_text import read_description
from mmsearch.media.exif import read_exif
from mmsearch.media.memory_budget import Budget, trim
from mmsearch.types import Decoded, Pixels, Preprocess

# In the order they are tried.  AVIF before HEIF: both claim the brand "mif1".  TGA has no signature, so it is tried on
# files of that name only.  What else Pillow knows stays closed: EPS would run Ghostscript on a file nobody vouches for.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM", "ICO", "DDS", "PCX", "TGA")
_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())

_UPRIGHT = {  # EXIF orientation -> what turns the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION, _BITS_PER_SAMPLE = 274, 258  # tags of EXIF and TIFF

# Pictures longer than this many times their breadth are cropped before they are resized: 1 x 65,000 pixels would become
# 224 x 14,560,000.  At 50, with 224 pixels wanted, the larger picture takes 10 MB; panoramas hardly go beyond 10.
_STRIP = 50

# Pixels that all threads together decode at once: two pictures of 100 megapixels.  Most formats take 4 to 9 bytes each,
# these two 16 and 19.
IN_FLIGHT = Budget(250e6)
_WEIGHT = {"WEBP": 2.0, "JPEG2000": 2.0}
_MANY = 25e6  # pixels from which it is worth the time to ask the allocator for unused memory first
_AT_ONCE = 2**20  # pixels that are brought down to 8 bits at once

# A progressive JPEG can go over its pixels any number of times.  At 200 megapixels a scan takes 14 ms and 300 bytes: a
# file of 20 MB would keep libjpeg busy for a quarter of an hour.  Programs write about 10 scans.
_MOST_SCANS = 500

_heif_lock = threading.Lock()

# What is wrong with a file stands in its ImageError.  Pillow's log would go to stderr where no logging is set up.
logging.getLogger("PIL").addHandler(logging.NullHandler())
with contextlib.suppress(AttributeError, OSError, TypeError):  # libtiff is built into Pillow, or there is none
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)  # it prints to stderr what it also returns


# Gives the pixels of a JPEG, of the size that the picture says by now; None leaves that to Pillow.
Loader = Callable[[BinaryIO, JpegImagePlugin.JpegImageFile], Image.Image | None]


def decode(
    file: BinaryIO,
    path: str,
    preprocess: Preprocess,
    max_megapixels: float = 200.0,
    in_flight: Budget | None = None,
    jpegs: Loader | None = None,
) -> Decoded:
    """The first picture in ``file``, which is open and seekable; ``path`` names it in errors.

    Returns its pixels as ``preprocess`` wants them, (size, size, 3) uint8, with its size and metadata.  Pictures above
    ``max_megapixels`` are refused.  Waits until there is room for its pixels ``in_flight``; that is one budget for all
    threads unless another is given.  ``jpegs`` are decoded by another program where it can.  Raises ImageError, and
    nothing else, for whatever is wrong with the file.
    """
    with _explained(path), _upright(file, path, preprocess, max_megapixels, in_flight, jpegs) as (image, rgb, size):
        kind = (image.format or "unknown").lower()
        return Decoded(prepare(rgb, preprocess), *size, kind, read_exif(image), read_description(image))


def upright(file: BinaryIO, path: str, side: int, max_megapixels: float = 200.0, enlarge: bool = True) -> Image.Image:
    """The whole picture in RGB, its longer side scaled to ``side`` pixels; without ``enlarge``, only if it is longer.

    ``file`` is open and seekable, ``path`` names it in errors.  Raises ImageError as ``decode`` does.
    """
    whole = Preprocess(side, resize_mode="longest")
    with _explained(path), _upright(file, path, whole, max_megapixels) as (_, rgb, (width, height)):
        scale = side / max(width, height) if enlarge else min(1.0, side / max(width, height))
        return rgb.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS)


def seen(width: int, height: int, preprocess: Preprocess) -> tuple[float, float, float, float]:
    """The part of an upright picture that ``prepare`` shows a model, to a pixel or two: left, top, right, bottom.

    In shares of its width and height; below 0 and above 1 where a border is added.
    """
    if preprocess.resize_mode == "squash":
        return 0.0, 0.0, 1.0, 1.0
    side = max(width, height) if preprocess.resize_mode == "longest" else min(width, height)
    across, down = side / width / 2, side / height / 2
    return 0.5 - across, 0.5 - down, 0.5 + across, 0.5 + down


def to_rgb(image: Image.Image) -> Image.Image:
    """``image`` in mode RGB, what is transparent over white, more than 8 bits a channel brought down to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    if image.mode == "La":  # alpha already multiplied in; Pillow converts it to nothing but LA
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")  # Pillow would copy it
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = rgba.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return rgba.convert("RGB")
    rgb = Image.new("RGB", rgba.size, (255, 255, 255))
    rgb.paste(rgba, mask=alpha)
    return rgb


def prepare(image: Image.Image, preprocess: Preprocess) -> Pixels:
    """``image`` resized and cropped or padded to (size, size, 3) uint8.

    Equal, pixel for pixel, to what open_clip's ``image_transform_v2(cfg, is_train=False)`` makes of the same picture in
    RGB before it scales and normalises.  (open_clip converts to RGB after resizing, which spoils palettes; we do so
    before.)  Only strips longer than ``_STRIP`` times their breadth, which open_clip cannot always digest, differ.
    """
    if image.mode != "RGB":
        image = to_rgb(image)
    size, (width, height) = preprocess.size, image.size
    how = Image.Resampling.BILINEAR if preprocess.interpolation == "bilinear" else Image.Resampling.BICUBIC

    if preprocess.resize_mode == "squash":
        return np.array(image.resize((size, size), how))

    if preprocess.resize_mode == "longest":  # all of the picture, on a square of the fill colour
        ratio = max(height / size, width / size)
        image = image.resize((max(1, round(width / ratio)), max(1, round(height / ratio))), how)
        square = np.full((size, size, 3), preprocess.fill_color, np.uint8)
        left, top = (size - image.width) // 2, (size - image.height) // 2
        square[top : top + image.height, left : left + image.width] = np.asarray(image)
        return square

    short = min(width, height)  # the middle of the picture
    if max(width, height) > _STRIP * short:
        left, top = (width - short) // 2, (height - short) // 2
        return np.array(image.resize((size, size), how, box=(left, top, left + short, top + short)))
    image = image.resize((int(size * width / short), int(size * height / short)), how)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return np.array(np.asarray(image)[top : top + size, left : left + size])  # Image.crop would check Pillow's limit


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turns whatever a decoder raises into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # decoders of damaged files throw SyntaxError, struct.error, OverflowError, ...
        raise ImageError(path, _reason(error), retry=isinstance(error, MemoryError)) from error


@contextlib.contextmanager
def _upright(
    file: BinaryIO,
    path: str,
    preprocess: Preprocess,
    max_megapixels: float,
    in_flight: Budget | None = None,
    jpegs: Loader | None = None,
) -> Iterator[tuple[ImageFile.ImageFile, Image.Image, tuple[int, int]]]:
    """The loaded file, its picture upright in RGB, and the size of the upright original.

    Of a large JPEG the picture is smaller than the original: as large as ``preprocess`` can use.  Waits until there is
    room ``in_flight``, where it counts until the block ends.
    """
    image = _open(file, path)
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise ImageError(path, _too_large(width, height, max_megapixels), retry=True)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        _check_scans(image, file, path)
    _draft(image, preprocess)
    # Of a progressive JPEG, libjpeg keeps the coefficients of all pixels, however small it is decoded.
    decoded = (width, height) if image.info.get("progressive") else image.size
    pixels = decoded[0] * decoded[1]
    with (in_flight or IN_FLIGHT).share(pixels * _WEIGHT.get(image.format or "", 1.0)):
        if pixels > _MANY:
            trim()
        loaded: Image.Image | None = None
        if jpegs is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            loaded = jpegs(file, image)
        if loaded is None:
            _reserve(image)
            image.load()
            loaded = image
        orientation = _orientation(image)
        rgb = to_rgb(loaded)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        yield image, rgb, (height, width) if orientation >= 5 else (width, height)  # 5 to 8: turned by a quarter


def _open(file: BinaryIO, path: str) -> ImageFile.ImageFile:
    """The picture in ``file``, its pixels not yet read.

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
    suffix = os.path.splitext(path)[1].lower()
    reason = "not a picture that can be read"
    for name in _FORMATS:
        if name == "TGA" and suffix != ".tga":
            continue
        if name == "HEIF":
            if prefix[4:8] != b"ftyp" or prefix[8:12] not in _HEIF_BRANDS:
                continue
            if not _register_heif():
                raise ImageError(path, "HEIC needs the extra: pip install 'mmsearch[heic]'", retry=True)
        factory, accept = Image.OPEN[name]
        try:
            accepted = accept is None or accept(prefix)
            if accepted is True:
                file.seek(0)
                # Without a name: Pillow would map the file of that name into memory instead of reading this one.
                return factory(file, "")
            if accepted:  # a sentence: Pillow was built without this format
                reason = f"cannot be decoded: {accepted}"
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open: perhaps another format
            if accept is not None:  # it has a signature, and the file bears it
                reason = _reason(error)
    raise ImageError(path, reason)


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


def _check_scans(image: JpegImagePlugin.JpegImageFile, file: BinaryIO, path: str) -> None:
    """Refuses a progressive JPEG of very many scans.  Scans of others take bytes for each block of pixels."""
    if not image.info.get("progressive"):
        return
    file.seek(0)
    scans = 0
    while block := file.read(2**24):
        scans += block.count(b"\xff\xda")  # start of scan; bytes of pixels never look like it
    if scans > _MOST_SCANS:
        raise ImageError(path, f"{scans} scans in one JPEG, over the limit of {_MOST_SCANS}")


def _draft(image: ImageFile.ImageFile, preprocess: Preprocess) -> None:
    """Have a large JPEG decoded smaller, as large as ``preprocess`` can use."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # libjpeg can decode at 1/2, 1/4 and 1/8, which is several times faster.  Twice the pixels that the resize will
        # leave are enough for it to average over; below that, edges soften visibly.
        enough, (width, height) = 2 * preprocess.size, image.size
        if preprocess.resize_mode == "longest":
            image.draft("RGB", (enough, 1) if width >= height else (1, enough))
        else:
            image.draft("RGB", (enough, enough))


def _reserve(image: ImageFile.ImageFile) -> None:
    """The memory for the pixels of a TIFF."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image._im is None:
        # TIFF compares with Pillow's limit when it reserves the memory for the pixels, so this is done here.
        image.im = Image.new(image.mode, image._tile_size).im


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF
        return 1
    return orientation if isinstance(orientation, int) and orientation in _UPRIGHT else 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits, 32 bits or floats as 8 bits."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.format in ("PNG", "PPM") and image.mode == "I"):
        bits = 16
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            bits = image.tag_v2.get(_BITS_PER_SAMPLE, (16,))[0]  # 12 in some scans
        return _by_blocks(values, lambda block: (block >> (bits - 8)).clip(0, 255))
    # Nothing says what is black and what is white here, so the darkest and the lightest value are.
    low, high = np.inf, -np.inf
    for block in _blocks(values):
        finite = block[np.isfinite(block)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:  # nothing is finite
        low = high = 0.0

    def scaled(block: NDArray[Any]) -> NDArray[Any]:
        known = np.nan_to_num(block.astype(np.float64), nan=low, posinf=high, neginf=low)
        return ((known - low) * (255 / (high - low or 1.0))).round()

    return _by_blocks(values, scaled)


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """``values`` in rows of about a million pixels: in floats of 64 bits, 200 megapixels would take 6 GB."""
    rows = max(1, _AT_ONCE // values.shape[1])
    for top in range(0, len(values), rows):
        yield values[top : top + rows]


def _by_blocks(values: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Image.Image:
    """What ``convert`` makes of values, within 0 to 255, as a grey picture."""
    grey = np.empty(values.shape, np.uint8)
    for block, into in zip(_blocks(values), _blocks(grey), strict=True):
        into[:] = convert(block)
    return Image.fromarray(grey)


def _too_large(width: int, height: int, limit: float) -> str:
    megapixels = f"{width * height / 1e6:.1f}".removesuffix(".0")
    return f"{width} x {height} pixels are {megapixels} megapixels, over the limit of {limit:g}; raise max_megapixels"


def _reason(error: Exception) -> str:
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
