"""XMP packets: what reading them costs at most, whatever they are."""

from __future__ import annotations

import tracemalloc

import pytest

from mmsearch.media.embedded_text import joined
from mmsearch.media.xmp import DEEPEST, LONGEST_XMP, MOST_VALUES, Xmp, read_xmp

DC, RDF = "http://purl.org/dc/elements/1.1/", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
TITLE = "<d:title>kept</d:title>"


def packet(body: str, attributes: str = "") -> bytes:
    return f'<r xmlns:d="{DC}" xmlns:rdf="{RDF}" {attributes}>{body}</r>'.encode()


def nested(size: int) -> str:
    """Titles in titles, and a list in the innermost: every title has every value of the list."""
    titles, values = size // 50, size // 40
    return "<d:title>" * titles + "<rdf:li>x</rdf:li>" * values + "</d:title>" * titles


def memory(packet: bytes) -> tuple[Xmp, int]:
    """What a packet says, and the bytes that reading it took at most."""
    read_xmp(b"<r/>")  # imports
    tracemalloc.start()
    try:
        said = read_xmp(packet)
        return said, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [6_000, 64_000, 1_000_000])
def test_nested_properties_are_not_told_again_for_each_of_them(size: int) -> None:
    said = read_xmp(packet(TITLE + nested(size)))
    assert said.texts[0] == "kept"
    assert len(said.texts) <= MOST_VALUES


def test_a_value_belongs_to_the_innermost_property_only() -> None:
    body = "<d:title><rdf:li>one<d:description>two</d:description></rdf:li></d:title>"
    assert read_xmp(packet(body)) == Xmp(("one", "two"))


def test_no_more_values_are_kept_than_anybody_reads() -> None:
    body = "<d:subject>" + "".join(f"<rdf:li>{n}</rdf:li>" for n in range(50_000)) + "</d:subject>" + TITLE
    said = read_xmp(packet(body))
    assert said == Xmp(("kept",), tuple(str(n) for n in range(MOST_VALUES)))


def test_long_values_are_cut() -> None:
    said = read_xmp(packet(f"<d:title>{'a' * 500_000}</d:title>{TITLE}", f'd:description="{"b" * 500_000}"'))
    assert said == Xmp(("a" * 2000, "kept", "b" * 2000))


@pytest.mark.parametrize("deep", [10, DEEPEST - 5, DEEPEST + 5, 100_000])
def test_what_stands_before_very_deep_elements_is_kept(deep: int) -> None:
    body = TITLE + "<a>" * deep + "<d:title>inside</d:title>" + "</a>" * deep
    assert read_xmp(packet(body)).texts == (("kept", "inside") if deep < DEEPEST else ("kept",))


def test_long_addresses_are_not_written_out_at_each_name() -> None:
    """Elements and attributes whose names begin with an address of 100 kB: written out, they would take gigabytes."""
    declared = f'xmlns:p="{"u" * 100_000}"'
    said, taken = memory(packet(TITLE + "<p:a/>" * 2_000, declared))
    assert said == Xmp(("kept",))
    assert taken < 2**24
    attributes = " ".join(f'p:a{n}=""' for n in range(3_000))
    said, taken = memory(packet(TITLE + f"<b {attributes}/>", declared))
    assert said == Xmp(("kept",))
    assert taken < 2**24


@pytest.mark.parametrize("element", ["<a/>", "<a>", "<d:title/>", "<d:title>a</d:title>", "<rdf:li>a</rdf:li>", "&lt;"])
def test_memory_has_an_end(element: str) -> None:
    said, taken = memory(packet(TITLE + element * (2**19 // len(element))))
    assert said.texts[:1] == ("kept",)
    assert taken < 2**23


def test_attributes_that_a_document_type_adds_are_not_added() -> None:
    """Half a megabyte that each of 100,000 elements would have."""
    declared = f'<!DOCTYPE r [<!ATTLIST a b CDATA "{"u" * 500_000}">]>'.encode()
    assert read_xmp(declared + packet(TITLE + "<a/>" * 100_000)) == Xmp()


def test_packets_above_the_limit_are_not_parsed() -> None:
    assert read_xmp(packet(TITLE + " " * LONGEST_XMP)) == Xmp()


def test_prefixes_may_be_any() -> None:
    """Programs choose them; what counts is the address."""
    assert read_xmp(f'<r xmlns="{DC}"><title>a</title></r>'.encode()) == Xmp(("a",))
    assert read_xmp(f'<r xmlns:x="{DC}"><x:title>a</x:title><dc:title>b</dc:title></r>'.encode()) == Xmp(("a",))
    again = f'<d:title>a</d:title><b xmlns:d="other"><d:title>b</d:title></b><c xmlns:e="{DC}" e:title="c"/>'
    assert read_xmp(packet(again)) == Xmp(("a", "c"))


def test_joining_looks_at_no_more_than_is_shown() -> None:
    def texts() -> list[str]:
        asked.append(1)
        return [f"a line that says {len(asked)} of many things"]

    asked: list[int] = []
    text = joined((line for _ in range(100_000) for line in texts()), ())
    assert text is not None
    assert len(text) <= 2000
    assert len(asked) < 200
