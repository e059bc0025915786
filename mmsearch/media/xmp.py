"""What XMP says of a picture: inside picture files, and in files beside them.

A packet is read once, from its beginning, by a parser that knows neither entities nor document types and is not asked
to expand names: an address of 30 kB that a name begins with would be written out at each of them.  So the time grows
with the packet's length and with nothing else, and what is kept of it has an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.handler import ContentHandler

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
    "http://ns.adobe.com/lightroom/1.0/": "lr",
    "http://www.digikam.org/ns/1.0/": "digiKam",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
}
_TEXTS = ("dc:title", "photoshop:Headline", "dc:description", "exif:UserComment")
_KEYWORDS = (
    "dc:subject",
    "lr:hierarchicalSubject",  # "Animals|Dog"
    "digiKam:TagsList",  # "Animals/Dog"
    "Iptc4xmpExt:PersonInImage",
)
_WANTED = frozenset((*_TEXTS, *_KEYWORDS))


@dataclass(frozen=True)
class Xmp:
    """Texts and keywords as they were written, in the order of the lists above; both may be empty."""

    texts: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


def read_xmp(packet: bytes) -> Xmp:
    """Title, headline, description, comment and keywords of an XMP packet; of a damaged one what stands before that.

    A packet that declares entities or a document type says nothing, and neither does one above ``LONGEST_XMP``.  Never
    raises.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.expatreader import DefusedExpatParser

    if len(packet) > LONGEST_XMP:
        return Xmp()
    packet = packet.strip(b"\0 \r\n\t")
    values = _Values()
    parser = DefusedExpatParser(namespaceHandling=0, forbid_dtd=True)
    parser.setContentHandler(values)
    try:
        for start in range(0, len(packet), _BLOCK):
            parser.feed(packet[start : start + _BLOCK])
        parser.close()
    except DefusedXmlException:
        return Xmp()
    except Exception:  # _Enough, SAXParseException, unknown encodings
        pass
    said = values.said
    texts = [text for name in _TEXTS for text in said.get(name, ())]
    keywords = [word for name in _KEYWORDS for text in said.get(name, ()) for word in _levels(name, text)]
    return Xmp(tuple(texts), tuple(keywords))


def _levels(name: str, keyword: str) -> list[str]:
    """Each level of a keyword in a hierarchy."""
    return [keyword] if name == _KEYWORDS[0] else keyword.replace("|", "/").split("/")


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

    def startElement(self, name: str, attrs: Mapping[str, str]) -> None:  # type: ignore[override]
        self._elements += 1
        if self._elements > MOST_ELEMENTS or len(self._open) > DEEPEST:
            raise _Enough
        around = self._open[-1]
        prefixes = _with_declared(around.prefixes, attrs)
        own = _known(name, prefixes)
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

    def endElement(self, name: str) -> None:
        element = self._open.pop()
        if element.wanted is None:
            return
        if element.name == "rdf:li":
            self._say(element.wanted, "".join(element.text))
            for outer in reversed(self._open):
                outer.listed = True
                if outer.name == element.wanted:
                    break
        elif element.name == element.wanted and not element.listed:
            self._say(element.wanted, "".join(element.text))

    def _say(self, name: str, value: str) -> None:
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
