"""What is written in picture files about them."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from samples import SAMPLES

from mmsearch.media.decode import decode
from mmsearch.media.embedded_text import joined, printable
from mmsearch.media.said import Said
from mmsearch.media.xmp import read_xmp
from mmsearch.types import Preprocess

DESCRIPTION, XP_TITLE, XP_COMMENT, XP_KEYWORDS, XP_SUBJECT = 0x010E, 0x9C9B, 0x9C9C, 0x9C9E, 0x9C9F
USER_COMMENT, EXIF_IFD = 0x9286, 0x8769
PICTURE = Image.new("RGB", (8, 8), "green")


def read(content: bytes, name: str = "a.jpg") -> str | None:
    return decode(io.BytesIO(content), name, Preprocess(8)).description


def saved(format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, format, **options)
    return buffer.getvalue()


def exif(**tags: Any) -> Image.Exif:
    made = Image.Exif()
    for name, value in tags.items():
        if name == "comment":
            made.get_ifd(EXIF_IFD)[USER_COMMENT] = value
        else:
            made[
                {"text": DESCRIPTION, "title": XP_TITLE, "said": XP_COMMENT, "words": XP_KEYWORDS, "about": XP_SUBJECT}[
                    name
                ]
            ] = value
    return made


def utf16(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


def iptc(*fields: tuple[int, int, bytes]) -> bytes:
    """A JPEG with IPTC fields, as the segment of Photoshop has them."""
    data = b"".join(struct.pack(">BBBH", 0x1C, *key, len(value)) + value for *key, value in fields)
    block = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(data)) + data + b"\0" * (len(data) % 2)
    segment = b"Photoshop 3.0\0" + block
    plain = saved()
    return plain[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]


def xmp(body: str, attributes: str = "") -> bytes:
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
    <x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
      xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
      xmlns:digiKam="http://www.digikam.org/ns/1.0/" {attributes}>{body}</rdf:Description>
    </rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


TITLED = xmp(
    "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Tram 28</rdf:li><rdf:li xml:lang='de'>Bahn 28</rdf:li></rdf:Alt>"
    "</dc:title><dc:description><rdf:Alt><rdf:li xml:lang='x-default'>Up the hill &amp; down</rdf:li></rdf:Alt>"
    "</dc:description><dc:subject><rdf:Bag><rdf:li>tram</rdf:li><rdf:li>Lisbon</rdf:li></rdf:Bag></dc:subject>"
    "<lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Europe|Lisbon</rdf:li></rdf:Bag></lr:hierarchicalSubject>"
    "<digiKam:TagsList><rdf:Seq><rdf:li>Things/tram</rdf:li></rdf:Seq></digiKam:TagsList>"
)


@pytest.mark.parametrize(
    ("tags", "description"),
    [
        ({}, None),
        ({"text": "Grandma's birthday"}, "Grandma's birthday"),
        ({"text": "Käse in Zürich".encode()}, "Käse in Zürich"),
        ({"text": "  two \n lines\0garbage"}, "two lines"),
        ({"title": utf16("Größe"), "about": utf16("a party"), "said": utf16("日本")}, "Größe\na party\n日本"),
        ({"text": "same", "title": utf16("Same"), "words": utf16("cake; party,cake")}, "same\ncake, party"),
        ({"comment": b"ASCII\0\0\0from the top"}, "from the top"),
        ({"comment": b"UNICODE\0" + "näher".encode("utf-16-le")}, "näher"),
        ({"comment": b"UNICODE\0" + "näher".encode("utf-16-be")}, "näher"),
        ({"comment": b"JIS\0\0\0\0\0" + "東京".encode("iso2022_jp")}, "東京"),
        ({"comment": bytes(8) + "später".encode()}, "später"),
        ({"comment": b"no code at all"}, "no code at all"),
        ({"comment": b"ASCII\0\0\0" + b" " * 40}, None),
        ({"text": "ab" * 3000}, ("ab" * 1000)),
        ({"text": "----"}, None),
    ],
)  # fmt: skip
def test_exif(tags: dict[str, Any], description: str | None) -> None:
    assert read(saved(exif=exif(**tags))) == description
    if "comment" not in tags:
        assert read(saved("PNG", exif=exif(**tags)), "a.png") == description


JUNK = [
    "OLYMPUS DIGITAL CAMERA         ", "SAMSUNG", "DCIM", "DCIM\\100MEDIA\\DJI_0012.JPG", "KODAK Digital Still Camera",
    "KONICA MINOLTA DIGITAL CAMERA", "KODAK DIGITAL SCIENCE DC260 camera", "Minolta DSC", "SONY DSC",
    "Exif_JPEG_PICTURE", "My beautiful picture", "oznorCOMEHERE", "cof", "Oplus_16908288",
    "filter: 0; fileterIntensity: 0.0; filterMask: 0; module: j; hw-remosaic: 0; touch: (-1.0, -1.0);",
    "0; fileterIntensity: 0.0; filterMask: 0", "cmp3.10.3.2Lq3 0x756ffbf7", "Optimized by JPEGmini 3.9.20.0L Internal",
    "CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 90\n", "CREATOR: XV Version 3.10a  Rev: 12/29/94",
    "LEAD Technologies", "LEAD Technologies Inc. V1.01", "File written by Adobe Photoshop\u00a8 4.0",
    "Intel(R) JPEG Library, version [2.0.16.48]", "Lavc58.134.100", "AppleMark\n", "Created with GIMP",
    "Created with The GIMP", "Processed with VSCO with a6 preset", "Processed By eBay with ImageMagick, z1.1.0. ||B2",
    "Paint Tool -SAI- JPEG Encoder v1.00", "ACD Systems Digital Imaging", "Compressed by jpeg-recompress",
    "untitled", "<?xml version='1.0'?><OME/>", '{"mirror":false,"sensor_type":"rear"}', "charset=Ascii", "default",
    "iVBORw0KGgoAAAANSUhEUgAAA4QAAAOE==", "d41d8cd98f00b204e9800998ecf8427e",
]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK)
def test_what_cameras_and_programs_write_by_themselves_is_no_description(junk: str) -> None:
    assert read(saved(exif=exif(text=junk.encode()))) is None
    assert read(saved(comment=junk.encode())) is None
    assert read(saved(comment=junk.encode(), exif=exif(text="a kite"))) == "a kite"


@pytest.mark.parametrize(
    "text",
    [
        "coffee", "COFFEE", "a digital camera on a table", "the photo", "Samsung factory", "the filter: before", "2008",
        "Made with love", "Created with the children at school", "Made by Grandma", "Written in sand", "Screenshot",
        "Donaudampfschifffahrtsgesellschaft", "IMG_20240101_120000_beach.jpg", "cmp 3", "Lead Technologist of the year",
    ],
)  # fmt: skip
def test_descriptions_that_are_like_junk_are_kept(text: str) -> None:
    assert read(saved(exif=exif(text=text))) == text


def test_the_rocket_of_the_samples_says_nothing() -> None:
    """The program that wrote it left a comment of letters and numbers."""
    content = (SAMPLES / "rocket.jpg").read_bytes()
    assert b"cmp3.10.3.2Lq3 0x756ffbf7" in content
    assert read(content) is None


def test_iptc() -> None:
    fields = [
        (2, 5, b"A title"),
        (2, 25, b"tram"),
        (2, 25, "Straße".encode()),
        (2, 105, b"Headline"),
        (2, 120, b"Caf\xe9"),
    ]
    assert read(iptc(*fields)) == "A title\nHeadline\nCafé\ntram, Straße"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp(format: str) -> None:
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", TITLED.decode())
        content = saved("PNG", pnginfo=info)
    elif format == "TIFF":
        content = saved("TIFF", tiffinfo={700: TITLED})
    else:
        content = saved(format, xmp=TITLED)
    said = "Tram 28\nBahn 28\nUp the hill & down\ntram, Lisbon, Places, Europe, Things"
    assert read(content, f"a.{format.lower()}") == said


def test_xmp_of_one_value_without_a_list() -> None:
    packet = xmp("<dc:description>plain</dc:description>", attributes='photoshop:Headline="as attribute"')
    assert read_xmp(packet) == Said(texts=("as attribute", "plain"))


def test_entities_are_not_expanded() -> None:
    """A "billion laughs" packet of 1 kB would take gigabytes."""
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f"<!DOCTYPE x [{entities}]><x xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title>&a11;</dc:title></x>"
    assert read_xmp(bomb.encode()) == Said()
    assert read(saved(xmp=bomb.encode())) is None
    outside = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><x><title>&f;</title></x>'
    assert read_xmp(outside) == Said()


@pytest.mark.parametrize(
    "packet", [b"", b"\0", b"<", b"<x>", b"<?xml version='1.0' encoding='no such'?><x/>", b"\xff\xfe<"]
)
def test_damaged_xmp_says_nothing(packet: bytes) -> None:
    assert read_xmp(packet) == Said()


@given(st.binary(max_size=400))
def test_no_packet_is_an_error(packet: bytes) -> None:
    assert read_xmp(packet) is not None
    assert read_xmp(b"<a>" + packet + b"</a>") is not None


def test_png_text_chunks_and_comments() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", "a kite")
    info.add_text("Software", "not looked at")
    info.add_itxt("Title", "Дракон")
    info.add_text("Comment", "Created with GIMP")
    assert read(saved("PNG", pnginfo=info), "a.png") == "Дракон\na kite"
    assert read(saved("GIF", comment=b"from the cellar"), "a.gif") == "from the cellar"
    assert read(saved(comment=b"CREATOR: gd-jpeg v1.0, quality = 90")) is None
    assert read(saved(comment="größer")) == "größer"


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged EXIF
def test_one_damaged_source_does_not_cost_the_others() -> None:
    said = xmp("<dc:description>from XMP</dc:description>")
    damaged = exif(text="from EXIF").tobytes()[:-4]
    assert read(saved(exif=damaged, xmp=said)) == "from XMP"
    assert read(saved(exif=exif(text="from EXIF"), xmp=said[:-40])) == "from EXIF\nfrom XMP"  # all that stands before
    assert read(saved(exif=exif(text="from EXIF"), xmp=said[:-90])) == "from EXIF"
    content = iptc((2, 120, b"from IPTC"))
    assert read(content) == "from IPTC"
    assert read(content.replace(b"\x1c\x02\x78\x00\x09", b"\x1c\x02\x78\xff\xff")) is None  # longer than the file


@given(st.lists(st.text(max_size=30), max_size=5), st.lists(st.text(max_size=10), max_size=5))
def test_descriptions_can_be_printed_and_have_an_end(texts: list[str], keywords: list[str]) -> None:
    text = joined(texts, keywords)
    assert text is None or (0 < len(text) <= 2000 and all(line.isprintable() for line in text.splitlines()))
    assert all(printable(one) == "" or printable(one) == printable(printable(one)) for one in texts)
