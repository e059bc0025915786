"""XMP packets: what reading them costs at most, whatever they are."""

from __future__ import annotations

import tracemalloc
from datetime import datetime, timedelta, timezone

import pytest

from mmsearch.media.embedded_text import joined
from mmsearch.media.said import Said
from mmsearch.media.xmp import DEEPEST, LONGEST_XMP, MOST_VALUES, read_xmp

DC, RDF = "http://purl.org/dc/elements/1.1/", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
TITLE = "<d:title>kept</d:title>"


def packet(body: str, attributes: str = "") -> bytes:
    return f'<r xmlns:d="{DC}" xmlns:rdf="{RDF}" {attributes}>{body}</r>'.encode()


def said(texts: tuple[str, ...], keywords: tuple[str, ...] = ()) -> Said:
    return Said(texts=texts, keywords=keywords)


def nested(size: int) -> str:
    """Titles in titles, and a list in the innermost: every title has every value of the list."""
    titles, values = size // 50, size // 40
    return "<d:title>" * titles + "<rdf:li>x</rdf:li>" * values + "</d:title>" * titles


def memory(packet: bytes) -> tuple[Said, int]:
    """What a packet says, and the bytes that reading it took at most."""
    read_xmp(b"<r/>")  # imports
    tracemalloc.start()
    try:
        found = read_xmp(packet)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [6_000, 64_000, 1_000_000])
def test_nested_properties_are_not_told_again_for_each_of_them(size: int) -> None:
    found = read_xmp(packet(TITLE + nested(size)))
    assert found.texts[0] == "kept"
    assert len(found.texts) <= MOST_VALUES


def test_a_value_belongs_to_the_innermost_property_only() -> None:
    body = "<d:title><rdf:li>one<d:description>two</d:description></rdf:li></d:title>"
    assert read_xmp(packet(body)) == said(("one", "two"))


def test_no_more_values_are_kept_than_anybody_reads() -> None:
    body = "<d:subject>" + "".join(f"<rdf:li>{n}</rdf:li>" for n in range(50_000)) + "</d:subject>" + TITLE
    found = read_xmp(packet(body))
    assert found == said(("kept",), tuple(str(n) for n in range(MOST_VALUES)))


def test_long_values_are_cut() -> None:
    found = read_xmp(packet(f"<d:title>{'a' * 500_000}</d:title>{TITLE}", f'd:description="{"b" * 500_000}"'))
    assert found == said(("a" * 2000, "kept", "b" * 2000))


@pytest.mark.parametrize("deep", [10, DEEPEST - 5, DEEPEST + 5, 100_000])
def test_what_stands_before_very_deep_elements_is_kept(deep: int) -> None:
    body = TITLE + "<a>" * deep + "<d:title>inside</d:title>" + "</a>" * deep
    assert read_xmp(packet(body)).texts == (("kept", "inside") if deep < DEEPEST else ("kept",))


def test_long_addresses_are_not_written_out_at_each_name() -> None:
    """Elements and attributes whose names begin with an address of 100 kB: written out, they would take gigabytes."""
    declared = f'xmlns:p="{"u" * 100_000}"'
    found, taken = memory(packet(TITLE + "<p:a/>" * 2_000, declared))
    assert found == said(("kept",))
    assert taken < 2**24
    attributes = " ".join(f'p:a{n}=""' for n in range(3_000))
    found, taken = memory(packet(TITLE + f"<b {attributes}/>", declared))
    assert found == said(("kept",))
    assert taken < 2**24


@pytest.mark.parametrize("element", ["<a/>", "<a>", "<d:title/>", "<d:title>a</d:title>", "<rdf:li>a</rdf:li>", "&lt;"])
def test_memory_has_an_end(element: str) -> None:
    found, taken = memory(packet(TITLE + element * (2**19 // len(element))))
    assert found.texts[:1] == ("kept",)
    assert taken < 2**23


def test_attributes_that_a_document_type_adds_are_not_added() -> None:
    """Half a megabyte that each of 100,000 elements would have."""
    declared = f'<!DOCTYPE r [<!ATTLIST a b CDATA "{"u" * 500_000}">]>'.encode()
    assert read_xmp(declared + packet(TITLE + "<a/>" * 100_000)) == Said()


def test_packets_above_the_limit_are_not_parsed() -> None:
    assert read_xmp(packet(TITLE + " " * LONGEST_XMP)) == Said()


def test_prefixes_may_be_any() -> None:
    """Programs choose them; what counts is the address."""
    assert read_xmp(f'<r xmlns="{DC}"><title>a</title></r>'.encode()) == said(("a",))
    assert read_xmp(f'<r xmlns:x="{DC}"><x:title>a</x:title><dc:title>b</dc:title></r>'.encode()) == said(("a",))
    again = f'<d:title>a</d:title><b xmlns:d="other"><d:title>b</d:title></b><c xmlns:e="{DC}" e:title="c"/>'
    assert read_xmp(packet(again)) == said(("a", "c"))


def test_joining_looks_at_no_more_than_is_shown() -> None:
    def texts() -> list[str]:
        asked.append(1)
        return [f"a line that says {len(asked)} of many things"]

    asked: list[int] = []
    text = joined((line for _ in range(100_000) for line in texts()), ())
    assert text is not None
    assert len(text) <= 2000
    assert len(asked) < 200


NAMESPACES = " ".join(
    f'xmlns:{prefix}="{address}"'
    for prefix, address in {
        "exif": "http://ns.adobe.com/exif/1.0/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "core": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
        "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
        "MP": "http://ns.microsoft.com/photo/1.2/",
        "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
        "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
        "ms": "http://ns.microsoft.com/photo/1.0/",
    }.items()
)
STRUCT = 'rdf:parseType="Resource"'
DAY = datetime(1985, 7, 14, 12, 0)


@pytest.mark.parametrize(
    ("body", "date"),
    [
        ("<exif:DateTimeOriginal>1985-07-14T12:00:00</exif:DateTimeOriginal>", DAY),
        ("<exif:DateTimeOriginal>1985:07:14 12:00:00</exif:DateTimeOriginal>", DAY),
        ("<photoshop:DateCreated>1985-07-14T12:00</photoshop:DateCreated>", DAY),
        ("<photoshop:DateCreated>1985-07-14T12:00:00.5+02:00</photoshop:DateCreated>",
         DAY.replace(microsecond=500_000, tzinfo=timezone(timedelta(hours=2)))),
        ("<photoshop:DateCreated>1985-07</photoshop:DateCreated>", datetime(1985, 7, 1)),
        ("<photoshop:DateCreated>1985</photoshop:DateCreated>", datetime(1985, 1, 1)),
        ("<photoshop:DateCreated>long ago</photoshop:DateCreated>", None),
        ("<photoshop:DateCreated>1985-07-14</photoshop:DateCreated><exif:DateTimeOriginal>1985-07-14T12:00:00"
         "</exif:DateTimeOriginal>", DAY),
        ("<exif:DateTimeOriginal>0000-00-00</exif:DateTimeOriginal><photoshop:DateCreated>1985-07-14T12:00:00"
         "</photoshop:DateCreated>", DAY),
    ],
)  # fmt: skip
def test_dates(body: str, date: datetime | None) -> None:
    assert read_xmp(packet(body, NAMESPACES)).original == date


def test_a_scan_s_date_is_another_than_the_shutter_s() -> None:
    found = read_xmp(packet("", f'{NAMESPACES} xmp:CreateDate="2010-01-02T03:04:05"'))
    assert (found.original, found.digitized) == (None, datetime(2010, 1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("latitude", "longitude", "degrees"),
    [
        ("48,51.504N", "2,17.67E", (48 + 51.504 / 60, 2 + 17.67 / 60)),
        ("33,51,30S", "70,0,36W", (-(33 + 51 / 60 + 30 / 3600), -(70 + 36 / 3600))),
        ("48.8584", "-2.2945", (48.8584, -2.2945)),
        ("48.8584n", "2.2945 E", (48.8584, 2.2945)),
        ("91,0N", "2,0E", (None, None)),
        ("48,51.504E", "2,17.67E", (None, None)),
        ("48,51.504N", "", (None, None)),
        ("0,0N", "0,0E", (None, None)),
        ("48,51.504N", "2" * 5000, (None, None)),
    ],
)
def test_places(latitude: str, longitude: str, degrees: tuple[float | None, float | None]) -> None:
    body = f"<exif:GPSLatitude>{latitude}</exif:GPSLatitude><exif:GPSLongitude>{longitude}</exif:GPSLongitude>"
    found = read_xmp(packet(body, NAMESPACES))
    assert [found.latitude, found.longitude] == [None if one is None else pytest.approx(one) for one in degrees]


def test_names_of_places() -> None:
    body = (
        "<photoshop:City>Honfleur</photoshop:City><photoshop:Country>France</photoshop:Country>"
        "<core:Location>Vieux Bassin</core:Location>"
    )
    found = read_xmp(packet(body, NAMESPACES))
    assert (found.city, found.keywords) == ("Honfleur", ("Vieux Bassin", "Honfleur", "France"))
    shown = (
        f"<ext:LocationShown><rdf:Bag><rdf:li {STRUCT}><ext:City>Łódź</ext:City><ext:CountryName>Polska"
        "</ext:CountryName></rdf:li></rdf:Bag></ext:LocationShown>"
    )
    found = read_xmp(packet(shown, NAMESPACES))
    assert (found.city, found.keywords) == ("Łódź", ("Łódź", "Polska"))


def test_names_of_faces_however_they_are_written() -> None:
    body = (
        f"<mwg-rs:Regions {STRUCT}><mwg-rs:RegionList><rdf:Bag>"
        f"<rdf:li {STRUCT}><mwg-rs:Name>Ann</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li>"
        '<rdf:li><rdf:Description mwg-rs:Name="Bob" mwg-rs:Type="Face"/></rdf:li>'
        '<rdf:li mwg-rs:Type="Pet" mwg-rs:Name="Rex"/>'
        '<rdf:li mwg-rs:Type="Face"/>'
        "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
        f"<MP:RegionInfo {STRUCT}><MPRI:Regions><rdf:Bag><rdf:li {STRUCT}><MPReg:PersonDisplayName>Cid"
        '</MPReg:PersonDisplayName></rdf:li><rdf:li MPReg:PersonDisplayName="ANN"/></rdf:Bag></MPRI:Regions>'
        "</MP:RegionInfo><ext:PersonInImage><rdf:Bag><rdf:li>Dora</rdf:li></rdf:Bag></ext:PersonInImage>"
    )
    found = read_xmp(packet(body, NAMESPACES))
    assert (found.people, found.keywords) == (("Dora", "Ann", "Bob", "Cid"), ("Dora", "Ann", "Bob", "Cid", "Rex"))


@pytest.mark.parametrize(
    ("written", "rating"),
    [
        ('xmp:Rating="4"', 4), ('xmp:Rating="-1"', -1), ('xmp:Rating="0"', None), ('xmp:Rating="3.0"', 3),
        ('xmp:Rating="7"', None), ('xmp:Rating="many"', None), ('ms:Rating="1"', 1), ('ms:Rating="25"', 2),
        ('ms:Rating="75"', 4), ('ms:Rating="99"', 5), ('ms:Rating="0"', None), ('ms:Rating="99" xmp:Rating="2"', 2),
    ],
)  # fmt: skip
def test_ratings(written: str, rating: int | None) -> None:
    assert read_xmp(packet("", f"{NAMESPACES} {written}")).rating == rating


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ('xmp:Label="Rot"', "Rot"), ('xmp:Label=" "', None), ('digi:ColorLabel="1"', "Red"),
        ('digi:ColorLabel="0"', None), ('digi:ColorLabel="99"', None),
        ('digi:ColorLabel="1" xmp:Label="Winner"', "Winner"),
    ],
)  # fmt: skip
def test_labels(written: str, label: str | None) -> None:
    digikam = 'xmlns:digi="http://www.digikam.org/ns/1.0/"'
    assert read_xmp(packet("", f"{NAMESPACES} {digikam} {written}")).label == label


def test_labels_of_darktable() -> None:
    body = "<k:colorlabels><rdf:Seq><rdf:li>0</rdf:li><rdf:li>3</rdf:li><rdf:li>x</rdf:li></rdf:Seq></k:colorlabels>"
    assert read_xmp(packet(body, f'{NAMESPACES} xmlns:k="http://darktable.sf.net/"')).label == "Red, Blue"
