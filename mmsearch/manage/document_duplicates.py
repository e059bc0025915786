"""Documents that show the same: saved again with other compression or resolution, or with one page more at an end.

The vectors of their pages propose how one lies along the other, by the numbers of the pages.  Then all pages are
compared by their pixels, and by their words where both have some: two invoices of one layout are two documents.  What
is kept has at least as many pages and pixels as what it stands for, words where that has, and, of a PDF, whose pixels
nobody can tell, as many bytes: else nothing is grouped.  Nor is what may hold more than its pages show.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.manage.standing_in import stand_ins
from mmsearch.media.document import MOST_PAGES, NOT_ALL
from mmsearch.media.filesystem import open_regular
from mmsearch.media.formats import DOCUMENT_SUFFIXES
from mmsearch.media.page_match import MOST, SIDE, Page, same_page, same_shape
from mmsearch.media.part_picture import Place, upright_part
from mmsearch.store.protocol import Store
from mmsearch.store.types import DuplicateCandidate, StoredModel
from mmsearch.types import Found, Ids, Vectors

COSINE = 0.75  # least, of pages that may be the same: as of photos that are proposed by their vectors
MORE = 1  # pages that what is kept may have more, at its beginning or its end
SMALL = 96  # pixels of the longer side of the small pages that most pairs are told apart by
HELD = 40  # pages that are in memory, 3 MB each


class Content(Protocol):
    """What is known of a document."""

    @property
    def vector(self) -> int: ...

    @property
    def pixels(self) -> int: ...

    @property
    def files(self) -> tuple[Found, ...]: ...


class Files(Protocol):
    """The files of contents that are as they were indexed."""

    def of(self, row: int) -> tuple[Found, ...]: ...

    def leave(self, row: int, reason: str) -> None:
        """Leave them alone from now on."""
        ...


@dataclass(frozen=True)
class _Pages:
    """A document as its pages."""

    row: int
    pixels: int  # of the first one, of a PDF at 150 dots an inch
    file: Found
    vectors: Vectors  # (n, dim)
    words: tuple[str, ...]  # letters and digits of each, in lower case

    @property
    def count(self) -> int:
        return len(self.words)

    @property
    def is_pdf(self) -> bool:
        return os.path.splitext(self.file.path)[1].lower() in DOCUMENT_SUFFIXES


def is_document(one: DuplicateCandidate) -> bool:
    """Whether it is one, also of one page: a small picture of a form does not show how it is filled in."""
    return one.film is None and (one.several or os.path.splitext(one.file.path)[1].lower() in DOCUMENT_SUFFIXES)


def same_documents(
    rows: Sequence[int],
    store: Store,
    model: StoredModel,
    contents: Sequence[Content],
    files: Files,
    max_megapixels: float,
) -> Ids:
    """For each document, at ``rows`` of ``contents``, the row of the best one that shows it, or its own; (n,)."""
    documents = _read(rows, store, model, contents) if len(rows) > 1 else []
    documents.sort(key=lambda one: (-one.count, -one.pixels, -one.file.size, one.row))
    looks = _Looks(files, max_megapixels)
    return stand_ins(rows, documents, lambda best, one: _holds(best, one) and _shows(best, one, looks))


def _read(rows: Sequence[int], store: Store, model: StoredModel, contents: Sequence[Content]) -> list[_Pages]:
    """Those of which every page has a vector, and may have been read."""
    parts = store.parts([contents[row].vector for row in rows], model)
    found = []
    for row in rows:
        one = contents[row]
        own = sorted(parts.get(one.vector, ()), key=lambda part: part.part)
        numbers, told = [part.vector for part in own] or [one.vector], [part.text for part in own] or [""]
        whole = [part.part for part in own] == list(range(len(own))) and all(part.vector >= 0 for part in own)
        if not whole or len(own) >= MOST_PAGES:
            continue
        vectors = store.vectors(np.array(numbers, np.int64), model.dim)
        words = tuple("".join(filter(str.isalnum, text)).casefold() for text in told)
        found.append(_Pages(row, one.pixels, one.files[0], vectors, words))
    return found


def _holds(best: _Pages, other: _Pages) -> bool:
    """Whether nothing is lost that can be told beforehand."""
    if not other.count <= best.count <= other.count + MORE or best.pixels < other.pixels:
        return False
    return best.file.size >= other.file.size or not (best.is_pdf or other.is_pdf)


def _shows(best: _Pages, other: _Pages, looks: _Looks) -> bool:
    """Whether every page of ``other`` is one of ``best``, in their order."""
    for shift in range(best.count - other.count + 1):
        pairs = [(number + shift, number) for number in range(other.count)]
        if (
            all(best.words[a] == other.words[b] or not other.words[b] for a, b in pairs)
            and all(float(best.vectors[a] @ other.vectors[b]) >= COSINE for a, b in pairs)
            and all(looks.may_be_same((best, a), (other, b)) for a, b in pairs[:1])
            and all(looks.same((best, a), (other, b)) for a, b in pairs)
        ):
            return True
    return False


_Number = tuple[_Pages, int]


class _Looks:
    """Pages of documents for comparison; the first of each is kept in small."""

    def __init__(self, files: Files, max_megapixels: float) -> None:
        self._files, self._limit = files, max_megapixels
        self._whole: set[int] = set()  # rows of documents that hold no more than is drawn
        self._small: dict[tuple[int, int], Page | None] = {}
        self._held: OrderedDict[tuple[int, int], Page | None] = OrderedDict()

    def may_be_same(self, left: _Number, right: _Number) -> bool:
        """False where small versions show that two pages are not the same."""
        first, second = self._in_small(left), self._in_small(right)
        if first is None or second is None or not same_shape(first, second):
            return False
        size = second.pixels.shape[1], second.pixels.shape[0]
        laid = np.asarray(Image.fromarray(first.pixels).resize(size, Image.Resampling.BOX), np.int16)
        return int(np.abs(laid - second.pixels).max()) <= 3 * MOST.tone

    def same(self, left: _Number, right: _Number) -> bool:
        first, second = self._at(left), self._at(right)
        return first is not None and second is not None and same_page(first, second)

    def _in_small(self, one: _Number) -> Page | None:
        key = one[0].row, one[1]
        if key not in self._small:
            page = self._at(one)
            if page is not None:
                image = Image.fromarray(page.pixels)
                scale = SMALL / max(image.size)
                size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
                page = Page(np.asarray(image.resize(size, Image.Resampling.BOX)))
            self._small[key] = page
        return self._small[key]

    def _at(self, one: _Number) -> Page | None:
        """None where it cannot be read, or its document may hold more than is drawn."""
        key = one[0].row, one[1]
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        self._held[key] = page = self._read(*one)
        if len(self._held) > HELD:
            self._held.popitem(last=False)
        return page

    def _read(self, document: _Pages, number: int) -> Page | None:
        there = self._files.of(document.row)
        if not there:
            return None
        path = there[0].path
        try:
            with open_regular(path) as file:
                place = Place(number, of=None if document.row in self._whole else document.count)
                pixels = np.asarray(upright_part(file, path, place, SIDE, self._limit, enlarge=False))
            self._whole.add(document.row)
            return Page(pixels)
        except ImageError as error:
            if error.code != NOT_ALL:
                self._files.leave(document.row, error.reason)
        except OSError as error:
            self._files.leave(document.row, error.strerror or str(error))
        return None
