"""Documents that were saved again are a group; others of the same layout are not."""

from __future__ import annotations

import functools
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.library.library import Library
from mmsearch.media.document import NOT_ALL, check_all_is_shown

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks/ is installed nowhere
from benchmarks.document_duplicates import drawn, saved, scanned

pytest.importorskip("pypdfium2")

Sets = list[tuple[str, set[str]]]


@functools.cache
def letter(change: str = "", scan: bool = False) -> Image.Image:
    return scanned(letter(change), 1) if scan else drawn("letter", 1, 10, 0, change)


@functools.cache
def form(change: str = "", scan: bool = False) -> Image.Image:
    return scanned(form(change), 1) if scan else drawn("form", 2, 10, 0, change)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "documents"
    place.mkdir()
    return place


def groups(library: Library, folder: Path, documents: dict[str, bytes]) -> Sets:
    """The name of the kept one and of the others, of each group."""
    for name, content in documents.items():
        (folder / name).write_bytes(content)
    assert library.index(folder).added == len(documents)
    found = library.duplicates()
    assert all(set(group.levels) == {"near"} for group in found)
    assert library.duplicates("exact") == []
    return [(Path(one.keep.path).name, {Path(other.path).name for other in one.others}) for one in found]


def test_a_document_that_was_saved_again_is_a_group_with_the_best(library: Library, folder: Path) -> None:
    pages, cover = [letter(), form()], drawn("photo", 3, 10, 0)
    documents = {
        "scan.tif": saved(pages, "tiff 200 tiff_lzw"),
        "small.tif": saved(pages, "tiff 150 jpeg"),
        "covered.pdf": saved([cover, *pages], "pdf 200 85"),
        "plain.pdf": saved(pages, "pdf 150 75"),
        "ended.pdf": saved([*pages, cover], "pdf 150 75"),
    }
    found = groups(library, folder, documents)
    assert sorted(found) == [("covered.pdf", {"plain.pdf"}), ("scan.tif", {"small.tif"})]


@pytest.mark.parametrize("scan", [False, True])
def test_documents_of_one_layout_are_no_group(library: Library, folder: Path, scan: bool) -> None:
    """Of one of two pages, a letter, a word, a digit, a tick or all the words are others."""
    first, second = letter(scan=scan), form(scan=scan)
    pages = {
        "first": [first, second],
        "letter": [letter("letter", scan), second],
        "word": [letter("word", scan), second],
        "other": [letter("other", scan), second],
        "digit": [first, form("digit", scan)],
        "tick": [first, form("tick", scan)],
        "signature": [first, form("signature", scan)],
        "swapped": [second, first],
    }
    assert groups(library, folder, {f"{name}.pdf": saved(own, "pdf 150 75") for name, own in pages.items()}) == []


def test_documents_of_one_page_are_no_photos(library: Library, folder: Path) -> None:
    """A picture of 128 pixels does not show how a form is filled in."""
    documents = {f"form{change}.pdf": saved([form(change)], "pdf 150 75") for change in ("digit", "tick", "other")}
    found = groups(
        library,
        folder,
        {"form.pdf": saved([form()], "pdf 200 85"), "small.pdf": saved([form()], "pdf 150 75")} | documents,
    )
    assert found == [("form.pdf", {"small.pdf"})]


def test_a_shorter_one_is_not_kept_for_what_is_known_of_it(library: Library, folder: Path) -> None:
    titled = io.BytesIO()
    small = letter().resize((1240, 1754), Image.Resampling.LANCZOS)
    small.save(titled, "PDF", resolution=150, quality=75, title="An invoice")
    long = saved([letter(), form()], "pdf 150 75")
    assert groups(library, folder, {"long.pdf": long, "short.pdf": titled.getvalue()}) == [("long.pdf", {"short.pdf"})]


def test_nothing_is_lost(library: Library, folder: Path) -> None:
    """One has more pages and the other more pixels, or more bytes where nobody can tell the pixels."""
    pages, cover = [letter(), form()], drawn("photo", 3, 10, 0)
    documents = {
        "fine.tif": saved(pages, "tiff 200 tiff_lzw"),
        "long.tif": saved([*pages, cover], "tiff 150 tiff_lzw"),
        "fine.pdf": saved(pages, "pdf 200 95"),
        "long.pdf": saved([*pages, letter("other")], "pdf 100 40"),
        "longest.tif": saved([cover, cover, *pages], "tiff 200 tiff_lzw"),
    }
    assert len(documents["fine.pdf"]) > len(documents["long.pdf"])
    found = groups(library, folder, documents)
    assert all("long" not in name for keep, others in found for name in (keep, *others)), found


FIELD = "/Type /Annot /Subtype /Widget /FT /Tx /T (name) /V ({}) /DA (/F 12 Tf 0 g) /Rect [20 50 200 80] /F 4"


def pdf(annotation: str, form: bool = False) -> bytes:
    """A PDF of one page with an annotation."""
    text = "BT /F 24 Tf 20 100 Td (Form) Tj ET"
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {'/AcroForm << /Fields [6 0 R] >>' if form else ''} >>",
        "<< /Type /Pages /Kids [5 0 R] /Count 1 >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        "/Resources << /Font << /F 3 0 R >> >> /Annots [6 0 R] >>",
        f"<< {annotation} >>",
    ]
    content, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(content))
        content += f"{number} 0 obj\n{body}\nendobj\n".encode()
    rows = "".join(f"{place:010} 00000 n \n" for place in places)
    table = f"xref\n0 7\n0000000000 65535 f \n{rows}trailer << /Size 7 /Root 1 0 R >>\nstartxref\n{len(content)}\n%%EOF"
    return content + table.encode()


def test_what_pages_do_not_show_is_known() -> None:
    """Fields that are filled in, notes and more pages: documents with these are left as they are."""
    link = pdf("/Type /Annot /Subtype /Link /Rect [20 50 200 80]")
    check_all_is_shown(io.BytesIO(link), "link.pdf", 1)
    two = saved([letter(), letter()], "tiff 100 tiff_lzw")
    check_all_is_shown(io.BytesIO(two), "two.tif", 2)
    note = pdf("/Type /Annot /Subtype /Text /Contents (Pay this) /Rect [20 50 40 70]")
    for content, count in ((pdf(FIELD.format("Anna"), form=True), 1), (note, 1), (link, 2), (two, 3), (two, 1)):
        with pytest.raises(ImageError, match="more than its pages show") as caught:
            check_all_is_shown(io.BytesIO(content), "a", count)
        assert caught.value.code == NOT_ALL
