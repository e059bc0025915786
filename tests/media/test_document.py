"""Pages of documents: each a picture with its words, and what cannot be read in words."""

from __future__ import annotations

import io
import sys
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from films import photos
from PIL import Image, TiffImagePlugin

from mmsearch.errors import ImageError
from mmsearch.media import document
from mmsearch.media.decode import decode, prepare, upright
from mmsearch.media.document import upright_page
from mmsearch.media.worker_pool import Decoders
from mmsearch.types import Decoded, Pixels, Preprocess

pytest.importorskip("pypdfium2")
SMALL = Preprocess(size=64)
PHOTOS = [Image.fromarray(one) for one in photos((320, 240))]


def read(content: bytes, path: str = "a.pdf") -> Decoded:
    return decode(io.BytesIO(content), path, SMALL)


def reason(content: bytes, path: str = "a.pdf") -> str:
    with pytest.raises(ImageError) as caught:
        read(content, path)
    return caught.value.reason


def pdf(pages: list[str], box: str = "0 0 300 200", info: str = "", extra: str = "") -> bytes:
    """A PDF written by hand: on each page these lines of its language, in Helvetica."""
    numbers = range(5, 5 + 2 * len(pages), 2)
    objects = {
        1: "<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{' '.join(f'{n} 0 R' for n in numbers)}] /Count {len(pages)} >>",
        3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        4: f"<< {info} >>",
    }
    for number, text in zip(numbers, pages, strict=True):
        objects[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents {number + 1} 0 R "
            f"/Resources << /Font << /F 3 0 R >> >> {extra} >>"
        )
        objects[number + 1] = f"<< /Length {len(text)} >>\nstream\n{text}\nendstream"
    content, places = b"%PDF-1.7\n", []
    for number, body in sorted(objects.items()):
        places.append(len(content))
        content += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = len(content)
    rows = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{rows}"
    return (
        content
        + f"{end}trailer << /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{table}\n%%EOF".encode()
    )


def words(text: str) -> str:
    return f"BT /F 24 Tf 20 100 Td ({text}) Tj ET"


RED, BLUE = "1 0 0 rg 0 0 300 200 re f", "0 0 1 rg 0 0 150 200 re f"


def test_each_page_is_a_picture_on_white_with_its_words() -> None:
    info = "/Title (A report) /Keywords (dogs, cats) /CreationDate (D:20240314092653+01'00')"
    found = read(pdf([words("Hello there"), RED, BLUE + " " + words("Second")], info=info))
    assert (found.width, found.height, found.format, found.film, found.damage) == (625, 417, "pdf", None, None)
    assert [part.text for part in found.parts] == ["Hello there", "", "Second"]
    assert [(part.start_ms, part.end_ms, part.at_ms) for part in found.parts] == [(None, None, None)] * 3
    assert found.description == "A report\ndogs, cats"
    assert found.exif.taken_at == datetime.fromisoformat("2024-03-14T09:26:53+01:00")
    white, red, blue = (part.pixels for part in found.parts)
    assert white[:20].min() == 255
    assert (red == [255, 0, 0]).all()
    assert (blue[:16, :20] == [0, 0, 255]).all()
    assert (blue[:16, 44:] == 255).all()
    assert np.array_equal(found.pixels, white)


def test_an_empty_first_page_does_not_show_a_document() -> None:
    found = read(pdf(["", BLUE]))
    assert np.array_equal(found.pixels, found.parts[1].pixels)


def test_one_page_at_any_size() -> None:
    content = pdf([RED, BLUE])
    page = upright_page(io.BytesIO(content), "a.pdf", 1, 600)
    assert (page.size, page.getpixel((10, 10)), page.getpixel((590, 10))) == ((600, 400), (0, 0, 255), (255, 255, 255))
    assert upright_page(io.BytesIO(content), "a.pdf", 0, 5000).size == (625, 417)
    assert upright_page(io.BytesIO(content), "a.pdf", 0, 1250, enlarge=True).size == (1250, 834)
    assert upright(io.BytesIO(content), "a.pdf", 300).getpixel((1, 1)) == (255, 0, 0)
    with pytest.raises(ImageError, match="there is no page 3 in it: it has 2"):
        upright_page(io.BytesIO(content), "a.pdf", 2, 100)


@pytest.mark.parametrize("box", ["0 0 9000000 9000000", "0 0 1 14400", "0 0 14400 1", "0 0 0 0", "0 0 0.001 0.001"])
def test_pages_of_any_size_take_little_memory(box: str) -> None:
    with Decoders(1, memory=2**30) as decoders:
        found = decoders.decode(io.BytesIO(pdf([words("x")], box)), "a.pdf", SMALL)
    assert found.parts[0].pixels.shape == (64, 64, 3)
    assert found.width * found.height <= 200e6 * 1.01


def test_a_page_that_is_turned() -> None:
    found = read(pdf([BLUE], extra="/Rotate 90"))
    assert (found.width, found.height) == (417, 625)
    assert (found.pixels[:20, 20:44] == [0, 0, 255]).all()  # what was on the left is at the top


def test_only_so_many_pages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MOST_PAGES", 3)
    found = read(pdf([RED] * 5))
    assert (len(found.parts), found.damage) == (
        3,
        "of its 5 pages the first 3 were read: as many as are read of one document",
    )
    monkeypatch.setattr(document, "SECONDS", -1.0)
    assert reason(pdf([RED])) == "its pages take too long"


def test_what_cannot_be_read_is_refused_in_words() -> None:
    nonsense = "not a PDF that can be read: it is damaged, cut off, or something else"
    assert reason(b"") == "the file is empty"
    assert reason(b"%PDF-1.7\n") == nonsense
    assert reason(b"hello") == nonsense
    assert reason(pdf([])) == nonsense
    assert reason(encrypted()) == "it is encrypted and opens with a password only"


def test_without_its_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    assert reason(pdf([RED])) == "a PDF needs the extra: pip install 'mmsearch[pdf]'"


def test_noise_anywhere_is_a_document_or_an_error_in_words() -> None:
    content = pdf([words(f"page {number}") for number in range(6)])
    chance = np.random.default_rng(0)
    for _ in range(60):
        changed = bytearray(content)
        for place in chance.integers(0, len(changed), 20):
            changed[place] = chance.integers(0, 256)
        try:
            found = read(bytes(changed))
        except ImageError:
            continue
        assert found.pixels.shape == (64, 64, 3)


def encrypted() -> bytes:
    """A PDF whose user password nobody knows (revision 2 of the standard handler)."""
    handler = f"/Filter /Standard /V 1 /R 2 /P -4 /O <{'41' * 32}> /U <{'42' * 32}>"
    content = pdf([RED]).decode("latin-1")
    return content.replace("/Info 4 0 R", f"/Encrypt << {handler} >> /ID [<00><00>]").encode("latin-1")


# --- TIFF ------------------------------------------------------------------------------------------------------------


def tiff(images: list[Image.Image], kinds: list[int] | None = None, **options: Any) -> bytes:
    """A TIFF of these pages; ``kinds`` are their NewSubfileType."""
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file, True) as writer:
        for number, image in enumerate(images):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            if kinds is not None:
                tags[254] = kinds[number]
            image.save(writer, "TIFF", tiffinfo=tags, **options)
            writer.newFrame()
    return file.getvalue()


def away(found: Pixels, wanted: Image.Image) -> float:
    return float(np.abs(found.astype(int) - prepare(wanted, SMALL)).mean())


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}])
def test_a_tiff_of_several_pages_is_a_document(options: dict[str, Any]) -> None:
    found = read(tiff(PHOTOS[:3], **options), "a.tif")
    assert (found.width, found.height, found.format) == (320, 240, "tiff")
    assert [away(part.pixels, image) < 8 for part, image in zip(found.parts, PHOTOS[:3], strict=True)] == [True] * 3
    page = upright_page(io.BytesIO(tiff(PHOTOS[:3], **options)), "a.tif", 2, 320)
    assert away(prepare(page, SMALL), PHOTOS[2]) < 8


def test_pages_are_read_in_a_process_of_its_own_too() -> None:
    content = tiff(PHOTOS[:3])
    with Decoders(1) as decoders:
        found = decoders.decode(io.BytesIO(content), "a.tif", SMALL)
    assert all(map(np.array_equal, (one.pixels for one in found.parts), (one.pixels for one in read(content).parts)))
    assert len(found.parts) == 3


def test_pages_may_differ_in_size_and_kind() -> None:
    found = read(tiff([PHOTOS[0], PHOTOS[1].convert("1"), PHOTOS[2].resize((900, 300))], [2, 2, 2]), "a.tif")
    assert len(found.parts) == 3
    assert away(found.parts[2].pixels, PHOTOS[2].resize((900, 300))) < 3


@pytest.mark.parametrize(
    "content",
    [
        tiff(PHOTOS[:1]),
        tiff([PHOTOS[0], PHOTOS[0].resize((160, 120))], [0, 1]),
        tiff([PHOTOS[0], PHOTOS[0].resize((160, 120))]),
        tiff([PHOTOS[0].resize((160, 120)), PHOTOS[0]], [1, 0]),
        tiff([PHOTOS[0], PHOTOS[0].convert("1")], [0, 4]),
        tiff([PHOTOS[0], PHOTOS[0].resize((160, 120)), PHOTOS[0].resize((80, 60))], [0, 1, 1]),
    ],
    ids=["one page", "marked preview", "unmarked preview", "preview first", "mask", "pyramid"],
)
def test_a_photo_with_what_stands_beside_it_is_one_picture(content: bytes) -> None:
    found = read(content, "a.tif")
    assert (found.width, found.height, found.parts) == (320, 240, ())
    assert away(found.pixels, PHOTOS[0]) < 3


def test_a_page_of_a_tiff_that_is_damaged_is_told() -> None:
    content = bytearray(tiff(PHOTOS[:3], compression="tiff_adobe_deflate"))
    second = len(content) // 3 + 5000
    content[second : second + 60_000] = bytes(60_000)
    found = read(bytes(content), "a.tif")
    assert (found.damage, len(found.parts)) == ("page 2 could not be read", 2)
    assert away(found.parts[0].pixels, PHOTOS[0]) < 3
