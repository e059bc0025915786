"""Documents: the pages of a PDF, and of a TIFF that has several, each as a picture with its words.

PDFium reads PDFs, through pypdfium2, an extra.  It may be used by one thread at a time, so a lock is held meanwhile.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.media import tiff
from mmsearch.media.dates import zone
from mmsearch.media.decode import FILM, IN_FLIGHT, decode_photo, prepare, upright_photo
from mmsearch.media.embedded_text import joined
from mmsearch.media.formats import needs_extra
from mmsearch.media.kept_frames import NOTHING, KeptParts
from mmsearch.media.memory_budget import Budget
from mmsearch.types import Decoded, Exif, Part, Preprocess

if TYPE_CHECKING:
    import pypdfium2

MOST_PAGES = 500  # that are read of one document
LONGEST_TEXT = 20_000  # characters of a page; a page of small print has 8,000
SECONDS = 60.0  # of computing, a document; the rest of its pages is left out then
_EMPTY = 3.0  # standard deviation of a page on which there is nothing
_POINTS = 72  # to an inch
_DOTS = 150 / _POINTS  # to a point, at which a page's size in pixels is told
_LARGEST = 4096  # pixels of the longer side of what is rendered, however large the page is
_STRIP = 50  # times its breadth that a page may be long
_ENCRYPTED = 4  # FPDF_ERR_PASSWORD
_LINK = 2  # FPDF_ANNOT_LINK
_pdfium = threading.Lock()

NOT_ALL = "not-all-shown"  # code of an ImageError where a document may hold more than its pages show


def decode_document(
    file: BinaryIO, path: str, preprocess: Preprocess, max_megapixels: float = 200.0, in_flight: Budget = IN_FLIGHT
) -> Decoded:
    """The PDF, or the TIFF of several pages, in ``file``, which is open and seekable; ``path`` names it in errors.

    ``parts`` are its pages in order, at most ``MOST_PAGES``, on white, those of a PDF with their words; ``pixels`` is
    the first page that shows something, (size, size, 3) uint8.  The size of a PDF is that of its first page at 150 dots
    an inch.  What could not be read is in ``damage``.  Waits until there is room ``in_flight``.  Raises ImageError
    where there is no page that can be read.
    """
    if pages := tiff.pages(file, MOST_PAGES + 1):
        return _decode_tiff(pages, path, preprocess, max_megapixels, in_flight)
    with in_flight.share(FILM), _opened(file, path) as document:
        sizes: list[tuple[int, int]] = []

        def read(number: int) -> Part:
            page = document[number]
            image = _rendered(page, 2 * preprocess.size, preprocess.resize_mode == "longest")
            sizes.append(_size_of(page, max_megapixels))
            part = Part(prepare(image, preprocess), text=_text_of(page))
            page.close()
            return part

        parts, damage = _read_pages(len(document), read, path)
        said = document.get_metadata_dict()
    return Decoded(
        pixels=_best(parts).pixels,
        width=sizes[0][0],
        height=sizes[0][1],
        format="pdf",
        exif=Exif(taken_at=_date(said)),
        description=joined([said.get(name, "") for name in ("Title", "Subject")], said.get("Keywords", "").split(",")),
        damage=damage,
        parts=parts,
    )


def upright_page(
    file: BinaryIO, path: str, number: int | None, side: int, max_megapixels: float = 200.0, enlarge: bool = False
) -> Image.Image:
    """Page ``number`` of a document, from 0, in RGB on white, its longer side ``side`` pixels; None is the first.

    Without ``enlarge`` it is no larger than it is, a PDF no larger than at 150 dots an inch.  Raises ImageError where
    there is no such page.
    """
    number = number or 0
    if pages := tiff.pages(file, MOST_PAGES):
        _check_number(number, len(pages), path)
        free = Budget(math.inf)  # who asks holds a share already
        return upright_photo(pages[number], path, side, max_megapixels, enlarge, free)
    with _opened(file, path) as document:
        _check_number(number, len(document), path)
        try:
            page = document[number]
            wanted = side if enlarge else min(side, max(_size_of(page, max_megapixels)))
            return _rendered(page, wanted, longer=True)
        except Exception as error:
            raise ImageError(path, f"page {number + 1} cannot be read: it is damaged") from error


def check_all_is_shown(file: BinaryIO, path: str, count: int) -> None:
    """Refuse a document that may hold more than its first ``count`` pages show.

    That is another number of pages, fields that are filled in, notes and other annotations but links, and files in it:
    ``upright_page`` does not draw them, or not all.  Raises ImageError, with the code ``NOT_ALL``.
    """
    if pages := tiff.pages(file, MOST_PAGES + 1):
        shown = len(pages) == count
    else:
        with _opened(file, path) as document:
            shown = len(document) == count and not document.get_formtype() and not document.count_attachments()
            shown = shown and not any(_is_annotated(document[number]) for number in range(count))
    if not shown:
        raise ImageError(path, "it may hold more than its pages show", code=NOT_ALL)


def _is_annotated(page: pypdfium2.PdfPage) -> bool:
    """Whether there is anything on it but what is printed and links."""
    import pypdfium2.raw as pdfium

    for number in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, number)
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        pdfium.FPDFPage_CloseAnnot(annotation)
        if kind != _LINK:
            return True
    return False


def _decode_tiff(
    pages: Sequence[BinaryIO], path: str, preprocess: Preprocess, max_megapixels: float, in_flight: Budget
) -> Decoded:
    read: list[Decoded] = []  # without their pixels

    def read_page(number: int) -> Part:
        page = decode_photo(pages[number], path, preprocess, max_megapixels, in_flight)
        read.append(replace(page, pixels=NOTHING))
        return Part(page.pixels)

    parts, damage = _read_pages(len(pages), read_page, path)
    damaged = [damage] if damage else [f"of a page {one.damage}" for one in read if one.damage][:1]
    return replace(read[0], pixels=_best(parts).pixels, parts=parts, damage=next(iter(damaged), None))


def _read_pages(count: int, read: Callable[[int], Part], path: str) -> tuple[KeptParts, str | None]:
    """The pages that can be read, and what could not be in words.  Raises ImageError where there are none."""
    parts = KeptParts()
    lost: list[int] = []
    begun, until, failure = time.thread_time(), min(count, MOST_PAGES), ImageError(path, "there are no pages in it")
    for number in range(until):
        if time.thread_time() - begun > SECONDS:
            until, failure = number, ImageError(path, "its pages take too long")
            break
        try:
            parts.append(read(number))
        except ImageError as error:
            failure = error
            lost.append(number + 1)
        except Exception:  # what PDFium cannot read of a damaged file
            failure = ImageError(path, "no page of it can be read: it is damaged")
            lost.append(number + 1)
    if not parts:
        raise failure
    return parts, _damage(lost, count, until)


def _check_number(number: int, count: int, path: str) -> None:
    if not 0 <= number < count:
        raise ImageError(path, f"there is no page {number + 1} in it: it has {count}")


def _best(parts: Sequence[Part]) -> Part:
    """The first page that is not empty."""
    return next((part for part in parts if part.text or float(part.pixels.std()) > _EMPTY), parts[0])


@contextlib.contextmanager
def _opened(file: BinaryIO, path: str) -> Iterator[pypdfium2.PdfDocument]:
    try:
        import pypdfium2
    except ImportError as error:
        raise ImageError(path, needs_extra("pdf"), retry=True) from error
    file.seek(0)
    if not file.read(1):
        raise ImageError(path, "the file is empty")
    file.seek(0)
    with _pdfium:
        try:
            document = pypdfium2.PdfDocument(file)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) == _ENCRYPTED:
                raise ImageError(path, "it is encrypted and opens with a password only") from error
            raise ImageError(path, "not a PDF that can be read: it is damaged, cut off, or something else") from error
        try:
            yield document
        finally:
            document.close()


def _rendered(page: pypdfium2.PdfPage, enough: int, longer: bool = False) -> Image.Image:
    """A page in RGB whose shorter side, or ``longer`` one, has about ``enough`` pixels; bounded where it is a strip."""
    width, height = (min(max(side, 1.0), 1e6) for side in page.get_size())
    width, height = max(width, height / _STRIP), max(height, width / _STRIP)
    scale = enough / (max if longer else min)(width, height)
    scale = min(scale, _LARGEST / max(width, height))
    image: Image.Image = page.render(scale=scale, fill_color=(255, 255, 255, 255), may_draw_forms=False).to_pil()
    return image.convert("RGB")


def _size_of(page: pypdfium2.PdfPage, max_megapixels: float) -> tuple[int, int]:
    """Width and height of a page in pixels at 150 dots an inch; of a huge one as many as a picture may have."""
    width, height = (max(side, 1.0) * _DOTS for side in page.get_size())
    scale = min(1.0, (max_megapixels * 1e6 / (width * height)) ** 0.5)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _text_of(page: pypdfium2.PdfPage) -> str:
    """The words of a page, a line a line, without what cannot be printed; empty where they cannot be read."""
    with contextlib.suppress(Exception):
        found = page.get_textpage()
        text = found.get_text_bounded()[: 2 * LONGEST_TEXT]
        lines = ("".join(char if char.isprintable() else " " for char in line).split() for line in text.splitlines())
        return "\n".join(" ".join(words) for words in lines if words)[:LONGEST_TEXT]
    return ""


def _date(said: Mapping[str, Any]) -> datetime | None:
    """When it was made: "D:20240314092653+01'00'" (ISO 32000-1, 7.9.4)."""
    text = str(said.get("CreationDate", "")).removeprefix("D:")
    digits = text[:14].ljust(14, "0")
    if not digits.isdecimal() or len(text) < 8:
        return None
    with contextlib.suppress(ValueError):
        date = datetime.strptime(digits, "%Y%m%d%H%M%S")
        return date.replace(tzinfo=zone(text[14:].replace("'", ":").rstrip(":")))
    return None


def _damage(lost: list[int], count: int, read: int) -> str | None:
    """What could not be read, or was not, in words."""
    said = []
    if lost:
        pages = ", ".join(str(number) for number in lost[:10]) + (" ..." if len(lost) > 10 else "")
        said.append(f"page{'s' if len(lost) > 1 else ''} {pages} could not be read")
    if read < count:
        why = "as many as are read of one document" if read == MOST_PAGES else "the others take too long"
        said.append(f"of its {count} pages the first {read} were read: {why}")
    return " and ".join(said) or None
