"""One picture file to the pixels an encoder wants: upright, on white, in RGB.

Colour profiles (ICC) are ignored, as open_clip ignores them: its models were trained that way.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from mmsearch.errors import ImageError
from mmsearch.media import damage
from mmsearch.media.animation import first_that_shows
from mmsearch.media.kinds import Kind, kind_of
from mmsearch.media.memory_budget import Budget, trim
from mmsearch.media.metadata import read_metadata
from mmsearch.media.modes import is_deep, to_rgb, with_low_bits
from mmsearch.media.motion import MOTION_PHOTO, is_motion_photo
from mmsearch.media.opening import open_picture, reason
from mmsearch.types import Decoded, PictureData, Pixels, Preprocess

_UPRIGHT = {  # EXIF orientation -> what turns the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 274  # tag of EXIF

# Pictures longer than this many times their breadth are cropped before they are resized: 1 x 65,000 pixels would become
# 224 x 14,560,000.  At 50, with 224 pixels wanted, the larger picture takes 10 MB; panoramas hardly go beyond 10.
_STRIP = 50

# Pixels that all threads together decode at once: two pictures of 100 megapixels.  Most formats take 4 to 9 bytes each,
# these two 16 and 19.
IN_FLIGHT = Budget(250e6)
_WEIGHT = {"WEBP": 2.0, "JPEG2000": 2.0}
FILM = 60e6  # what FFmpeg keeps of a film in 4K: some 20 frames of 1.5 bytes a pixel, and ours
_MANY = 25e6  # pixels from which it is worth the time to ask the allocator for unused memory first

# A progressive JPEG can go over its pixels any number of times.  At 200 megapixels a scan takes 14 ms and 300 bytes: a
# file of 20 MB would keep libjpeg busy for a quarter of an hour.  Programs write about 10 scans.
_MOST_SCANS = 500

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
    """The photo, the film or the document in ``file``, which is open and seekable; ``path`` names it in errors.

    Returns its pixels as ``preprocess`` wants them, (size, size, 3) uint8, with its size and metadata; of a film and of
    a document all moments and pages too, of other files the first picture; of sound there are no pixels.  Pictures
    above ``max_megapixels`` are refused.  Waits until there is room for its pixels ``in_flight``; that is one budget
    for all threads unless another is given.  ``jpegs`` are decoded by another program where it can.  Raises ImageError,
    and nothing else, for whatever is wrong with the file.
    """
    with _explained(path):
        several = kind_of(file, path)
        if several != "photo":
            return _several(several)(file, path, preprocess, max_megapixels, in_flight or IN_FLIGHT)
    return decode_photo(file, path, preprocess, max_megapixels, in_flight, jpegs)


def decode_photo(
    file: BinaryIO,
    path: str,
    preprocess: Preprocess,
    max_megapixels: float = 200.0,
    in_flight: Budget | None = None,
    jpegs: Loader | None = None,
) -> Decoded:
    """The first picture in ``file``, as ``decode`` gives it, whatever else is in it."""
    with _explained(path), _upright(file, path, preprocess, max_megapixels, in_flight, jpegs) as found:
        kind, said = (found.about.format or "unknown").lower(), read_metadata(found.about)
        motion = MOTION_PHOTO if is_motion_photo(found.about, file) else None
        return Decoded(
            pixels=prepare(found.rgb, preprocess),
            width=found.width,
            height=found.height,
            format=kind,
            exif=said.exif,
            description="\n".join(filter(None, (said.description, motion))) or None,
            annotations=said.annotations,
            damage=found.damage,
        )


def _several(kind: Kind) -> Callable[[BinaryIO, str, Preprocess, float, Budget], Decoded]:
    """What reads files that hold several pictures.  Its libraries are loaded with the first such file."""
    if kind == "video":
        from mmsearch.media.video import decode_video

        return decode_video
    if kind == "sound":
        from mmsearch.media.sound import decode_sound

        return decode_sound
    from mmsearch.media.document import decode_document

    return decode_document


def _upright_of_several(kind: Kind) -> Callable[[BinaryIO, str, int | None, int, float, bool], Image.Image]:
    if kind == "video":
        from mmsearch.media.video import upright_frame

        return upright_frame
    if kind == "sound":
        from mmsearch.media.sound import no_picture

        return no_picture
    from mmsearch.media.document import upright_page

    return upright_page


def decode_content(content: PictureData, name: str, preprocess: Preprocess, max_megapixels: float = 200.0) -> Pixels:
    """The pixels of a picture in memory as ``preprocess`` wants them, (size, size, 3) uint8; ``name`` is for errors.

    Bytes are decoded as a file is.  Of a Pillow image it is the present frame, upright as its EXIF says.  Raises
    ImageError as ``decode`` does.
    """
    if isinstance(content, (bytes, bytearray, memoryview)):
        return decode(io.BytesIO(content), name, preprocess, max_megapixels).pixels
    with _explained(name):
        image = content if isinstance(content, Image.Image) else Image.fromarray(np.ascontiguousarray(content))
        width, height = image.size
        if not width or not height:
            raise ImageError(name, "it has no pixels")
        if width * height > max_megapixels * 1e6:
            raise ImageError(name, _too_large(width, height, max_megapixels), retry=True)
        with IN_FLIGHT.share(width * height):
            rgb, orientation = to_rgb(image), _orientation(image)
            return prepare(rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb, preprocess)


def upright(file: BinaryIO, path: str, side: int, max_megapixels: float = 200.0, enlarge: bool = True) -> Image.Image:
    """The whole picture in RGB, its longer side scaled to ``side`` pixels; without ``enlarge``, only if it is longer.

    ``file`` is open and seekable, ``path`` names it in errors.  Of a film it is a frame that shows something, of a
    document its first page.  Raises ImageError as ``decode`` does.
    """
    with _explained(path):
        several = kind_of(file, path)
        if several != "photo":
            with IN_FLIGHT.share(FILM):
                return _upright_of_several(several)(file, path, None, side, max_megapixels, enlarge)
    return upright_photo(file, path, side, max_megapixels, enlarge)


def upright_photo(
    file: BinaryIO,
    path: str,
    side: int,
    max_megapixels: float = 200.0,
    enlarge: bool = True,
    in_flight: Budget | None = None,
) -> Image.Image:
    """The first picture in ``file``, as ``upright`` gives it, whatever else is in it."""
    whole = Preprocess(side, resize_mode="longest")
    with _explained(path), _upright(file, path, whole, max_megapixels, in_flight) as found:
        width, height = found.width, found.height
        scale = side / max(width, height) if enlarge else min(1.0, side / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return found.rgb.resize(size, Image.Resampling.LANCZOS)


def seen(width: int, height: int, preprocess: Preprocess) -> tuple[float, float, float, float]:
    """The part of an upright picture that ``prepare`` shows a model, to a pixel or two: left, top, right, bottom.

    In shares of its width and height; below 0 and above 1 where a border is added.
    """
    if preprocess.resize_mode == "squash":
        return 0.0, 0.0, 1.0, 1.0
    side = max(width, height) if preprocess.resize_mode == "longest" else min(width, height)
    across, down = side / width / 2, side / height / 2
    return 0.5 - across, 0.5 - down, 0.5 + across, 0.5 + down


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
        raise ImageError(path, reason(error), retry=isinstance(error, MemoryError)) from error


@dataclass(frozen=True)
class _Upright:
    """A picture that was read."""

    about: Image.Image  # what has its metadata
    rgb: Image.Image  # of a large JPEG smaller than the original
    width: int  # of the upright original, in pixels
    height: int
    damage: str | None  # in words


@contextlib.contextmanager
def _upright(
    file: BinaryIO,
    path: str,
    preprocess: Preprocess,
    max_megapixels: float,
    in_flight: Budget | None = None,
    jpegs: Loader | None = None,
) -> Iterator[_Upright]:
    """The picture in a file, upright, of a large JPEG as large as ``preprocess`` can use.

    Waits until there is room ``in_flight``, where it counts until the block ends.
    """
    opened = open_picture(file, path)
    image, damaged = opened.image, opened.damage
    width, height = opened.size or image.size
    if width * height > max_megapixels * 1e6:
        raise ImageError(path, _too_large(width, height, max_megapixels), retry=True)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        _check_scans(image, file, path)
    _draft(image, preprocess)

    def again(source: BinaryIO) -> ImageFile.ImageFile:
        once_more = open_picture(source, path).image
        _draft(once_more, preprocess)
        return once_more

    # Of a progressive JPEG, libjpeg keeps the coefficients of all pixels, however small it is decoded.
    decoded = (width, height) if image.info.get("progressive") else image.size
    pixels = decoded[0] * decoded[1]
    with (in_flight or IN_FLIGHT).share(pixels * _WEIGHT.get(image.format or "", 1.0)):
        if pixels > _MANY:
            trim()
        loaded: Image.Image | None = None
        if jpegs is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            loaded = jpegs(file, image)
        about = opened.about
        if loaded is None:
            deep = is_deep(image)
            same = about is image
            image, lacking = damage.load(image, opened.file, again)
            loaded, about, damaged = image, image if same else about, lacking or damaged
            if deep and lacking is None:
                loaded = with_low_bits(loaded, again(opened.file))
        orientation = opened.orientation or _orientation(image)
        rgb = first_that_shows(image, to_rgb(loaded), lambda: again(opened.file))
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        size = (height, width) if orientation >= 5 else (width, height)  # 5 to 8: turned by a quarter
        yield _Upright(about, rgb, *size, damaged)


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


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF
        return 1
    return orientation if isinstance(orientation, int) and orientation in _UPRIGHT else 1


def _too_large(width: int, height: int, limit: float) -> str:
    megapixels = f"{width * height / 1e6:.1f}".removesuffix(".0")
    return f"{width} x {height} pixels are {megapixels} megapixels, over the limit of {limit:g}; raise max_megapixels"
