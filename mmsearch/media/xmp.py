"""What XMP says of a picture: inside picture files, and in files beside them.

A packet is read once, from its beginning, by a parser that knows neither entities nor document types and is not asked
to expand names: an address of 30 kB that a name begins with would be written out at each of them.  So the time grows
with the packet's length and with nothing else, and what is kept of it has an end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from xml.sax.handler import ContentHandler

from mmsearch.media.dates import parsed
from mmsearch.media.said import MOST_PEOPLE, Said, different, one_line, place, stars

LONGEST_XMP = 8 * 2**20  # bytes; packets with the masks of an editor have a few million
MOST_ELEMENTS = 400_000  # that are looked at: of 8 MB of masks there are 250,000
DEEPEST = 64  # elements inside each other; programs write about 10
MOST_VALUES = 500  # of one property
LONGEST_VALUE = 2000  # characters
MOST_CHARACTERS = 2**20  # of all values together
MOST_PREFIXES = 64  # that stand for a known address at once
_BLOCK = 2**18  # bytes that are parsed before it is asked whether that is enough

_NAMESPACES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
    "http://ns.microsoft.com/photo/1.0/": "MicrosoftPhoto",
    "http://darktable.sf.net/": "darktable",
    "http://ns.microsoft.com/photo/1.2/t/Region#": "MPReg",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
}
_TEXTS = ("dc:title", "photoshop:Headline", "dc:description", "exif:UserComment")
_SUBJECT = "dc:subject"
_LEVELS = (
    "lr:hierarchicalSubject",  # "Animals|Dog"
    "digiKam:TagsList",  # "Animals/Dog"
)
_NAME, _KIND, _OTHER = "mwg-rs:Name", "mwg-rs:Type", "mwg-rs:Name of no face"  # of a region: a face, a pet, a code
_PEOPLE = ("Iptc4xmpExt:PersonInImage", "Iptc4xmpExt:PersonName", _NAME, "MPReg:PersonDisplayName")
_CITIES = ("photoshop:City", "Iptc4xmpExt:City")  # the second of LocationCreated and LocationShown
_PLACES = (
    "Iptc4xmpCore:Location", "Iptc4xmpExt:Sublocation", "Iptc4xmpExt:LocationName", *_CITIES,
    "photoshop:State", "Iptc4xmpExt:ProvinceState", "photoshop:Country", "Iptc4xmpExt:CountryName",
)  # fmt: skip
_ORIGINAL = ("exif:DateTimeOriginal", "photoshop:DateCreated")
_DIGITIZED = ("exif:DateTimeDigitized", "xmp:CreateDate")
_LATITUDE, _LONGITUDE = "exif:GPSLatitude", "exif:GPSLongitude"
_RATING, _PERCENT = "xmp:Rating", "MicrosoftPhoto:Rating"  # stars; 1, 25, 50, 75 or 99 for one to five of them
_LABEL = "xmp:Label"  # "Red", "Rot", "To do": as the program calls it
_COLOURS = {  # numbers of colours
    "digiKam:ColorLabel": ("", "Red", "Orange", "Yellow", "Green", "Blue", "Magenta", "Gray", "Black", "White"),
    "darktable:colorlabels": ("Red", "Yellow", "Green", "Blue", "Purple"),
}
_WANTED = frozenset((
    *_TEXTS, _SUBJECT, *_LEVELS, _KIND, *_PEOPLE, *_PLACES, *_ORIGINAL, *_DIGITIZED, _LATITUDE, _LONGITUDE, _RATING,
    _PERCENT, _LABEL, *_COLOURS,
))  # fmt: skip

_NUMBER = r"(\d{1,3}(?:\.\d{1,20})?)"
_DEGREES = re.compile(rf"{_NUMBER}(?:,{_NUMBER})?(?:,{_NUMBER})?\s*([NSEW])", re.ASCII)  # 48,51.504N or 48,51,30N
_SIGNED = re.compile(rf"([+-]?){_NUMBER}", re.ASCII)


def read_xmp(packet: bytes) -> Said:
    """Texts, keywords, dates, place, people, rating and label of an XMP packet; of a damaged one what is before that.

    Texts and keywords are as they were written, in the order of the lists above, the names of people and places last.
    A packet that declares entities or a document type says nothing, and neither does one above ``LONGEST_XMP``.  Never
    raises.
    """
    said = _values_of(packet)

    def of(*names: str) -> list[str]:
        return [value for one in names for value in said.get(one, ())]

    latitude, longitude = place(_degrees(of(_LATITUDE), "NS"), _degrees(of(_LONGITUDE), "EW"))
    people = different(found for one in of(*_PEOPLE) if (found := one_line(one)))[:MOST_PEOPLE]
    levels = [level for keyword in of(*_LEVELS) for level in keyword.replace("|", "/").split("/")]
    return Said(
        original=_date(of(*_ORIGINAL)),
        digitized=_date(of(*_DIGITIZED)),
        latitude=latitude,
        longitude=longitude,
        city=next((found for one in of(*_CITIES) if (found := one_line(one))), None),
        people=people,
        rating=_rating(of(_RATING), of(_PERCENT)),
        label=_label(of(_LABEL), {name: of(name) for name in _COLOURS}),
        texts=tuple(of(*_TEXTS)),
        keywords=(*of(_SUBJECT), *levels, *people, *of(_OTHER), *of(*_PLACES)),
    )


def _date(values: Sequence[str]) -> datetime | None:
    dates = (parsed(value.strip(), part=True) for value in values)
    return next((date for date in dates if date is not None), None)


def _degrees(values: Sequence[str], letters: str) -> float | None:
    """Of the first value that can be read: "48,51.504N", and plain degrees, as some programs write them."""
    for value in values:
        text = value.strip().upper()
        if (match := _DEGREES.fullmatch(text)) and match[4] in letters:
            degrees, minutes, seconds = (float(part or 0) for part in match.groups()[:3])
            total = degrees + minutes / 60 + seconds / 3600
            return -total if match[4] == letters[1] else total
        if match := _SIGNED.fullmatch(text):
            return float(match[1] + match[2])
    return None


def _rating(rated: Sequence[str], percent: Sequence[str]) -> int | None:
    for value in rated:
        if match := _SIGNED.fullmatch(value.strip()):
            return stars(float(match[1] + match[2]))
    for value in percent:
        if (match := _SIGNED.fullmatch(value.strip())) and float(match[2]):
            return stars(1 + float(match[2]) / 25)
    return None


def _label(named: Sequence[str], numbered: Mapping[str, Sequence[str]]) -> str | None:
    """What it is called; else the colours that numbers stand for."""
    for value in named:
        if found := one_line(value):
            return found
    for name, values in numbered.items():
        colours = _COLOURS[name]
        known = {str(number): colour for number, colour in enumerate(colours) if colour}
        if found := ", ".join(different(known[one.strip()] for one in values if one.strip() in known)):
            return found
    return None


def _values_of(packet: bytes) -> dict[str, list[str]]:
    """The values of each wanted property, in their order."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.expatreader import DefusedExpatParser

    if len(packet) > LONGEST_XMP:
        return {}
    packet = packet.strip(b"\0 \r\n\t")
    values = _Values()
    parser = DefusedExpatParser(namespaceHandling=0, forbid_dtd=True)
    parser.setContentHandler(values)
    try:
        for start in range(0, len(packet), _BLOCK):
            parser.feed(packet[start : start + _BLOCK])
        parser.close()
    except DefusedXmlException:
        return {}
    except Exception:  # _Enough, SAXParseException, unknown encodings
        pass
    values.end_region()
    return values.said


class _Enough(Exception):
    """What follows is not looked at."""


@dataclass
class _Open:
    """An element that has begun and not ended."""

    name: str | None  # None where its address is not known
    wanted: str | None  # the property that it is, or is a value of
    prefixes: Mapping[str, str]  # in it -> the address that they stand for, in short; known ones only
    text: list[str] = field(default_factory=list)
    length: int = 0  # of the text, in characters
    listed: bool = False  # its values are those of a list in it


class _Values(ContentHandler):
    """Collects the values of wanted properties, which are elements, lists of ``rdf:li`` in them, or attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, list[str]] = {}
        self._open = [_Open(None, None, {})]
        self._elements = self._characters = 0
        self._region: dict[str, str] = {}  # what is said of one part of the picture

    def startElement(self, tag: str, attrs: Mapping[str, str]) -> None:  # type: ignore[override]
        self._elements += 1
        if self._elements > MOST_ELEMENTS or len(self._open) > DEEPEST:
            raise _Enough
        around = self._open[-1]
        prefixes = _with_declared(around.prefixes, attrs)
        own = _known(tag, prefixes)
        for attribute, value in attrs.items():
            property_ = _known(attribute, prefixes)
            if property_ in _WANTED:
                self._say(property_, value[:LONGEST_VALUE])
        self._open.append(_Open(own, own if own in _WANTED else around.wanted, prefixes))

    def characters(self, content: str) -> None:
        element = self._open[-1]
        if element.wanted is not None and element.length < LONGEST_VALUE:
            element.text.append(content[: LONGEST_VALUE - element.length])
            element.length += len(element.text[-1])

    def endElement(self, tag: str) -> None:
        element = self._open.pop()
        if element.wanted is None:
            if element.name == "rdf:li":
                self.end_region()
        elif element.name == "rdf:li":
            self._say(element.wanted, "".join(element.text))
            for outer in reversed(self._open):
                outer.listed = True
                if outer.name == element.wanted:
                    break
        elif element.name == element.wanted and not element.listed:
            self._say(element.wanted, "".join(element.text))

    def end_region(self) -> None:
        """Nothing more is said of a region: its name is a person's, unless it says that it shows something else."""
        kind, found = self._region.get(_KIND, "Face"), self._region.get(_NAME)
        self._region.clear()
        if found is not None:
            self._add(_NAME if kind.strip() == "Face" else _OTHER, found)

    def _say(self, name: str, value: str) -> None:
        if name in (_NAME, _KIND):
            self._region[name] = value
        else:
            self._add(name, value)

    def _add(self, name: str, value: str) -> None:
        values = self.said.setdefault(name, [])
        if len(values) < MOST_VALUES and self._characters < MOST_CHARACTERS:
            values.append(value)
            self._characters += len(value)


def _with_declared(prefixes: Mapping[str, str], attributes: Mapping[str, str]) -> Mapping[str, str]:
    """The prefixes that are known in an element with these attributes."""
    declared = [name for name in attributes.keys() if name.startswith("xmlns")]  # noqa: SIM118 - no Mapping at all
    if not declared:
        return prefixes
    inside = dict(prefixes)
    for name in declared:
        prefix, known = name[6:], _NAMESPACES.get(attributes[name])
        if known is not None and len(inside) < MOST_PREFIXES:
            inside[prefix] = known
        else:
            inside.pop(prefix, None)
    return inside


def _known(name: str, prefixes: Mapping[str, str]) -> str | None:
    """``name`` with the prefix of the table above; None where that does not have its address."""
    prefix, colon, local = name.partition(":")
    known = prefixes.get(prefix if colon else "")
    return None if known is None else f"{known}:{local if colon else name}"
