"""What XMP says of a picture in words: inside picture files, and in files beside them."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_XMP = 8 * 2**20  # bytes; packets with the masks of an editor have a few million

_DC = "{http://purl.org/dc/elements/1.1/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_LI = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"
_TEXTS = (_DC + "title", _PHOTOSHOP + "Headline", _DC + "description", "{http://ns.adobe.com/exif/1.0/}UserComment")
_KEYWORDS = (
    _DC + "subject",
    "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject",  # "Animals|Dog"
    "{http://www.digikam.org/ns/1.0/}TagsList",  # "Animals/Dog"
    "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}PersonInImage",
)


@dataclass(frozen=True)
class XmpWords:
    """Texts and keywords as they were written, in the order of the lists above; both may be empty."""

    texts: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


def read_xmp(packet: bytes) -> XmpWords:
    """Title, headline, description, comment and keywords of an XMP packet; nothing where it is damaged.  Never raises.

    Parsed by defusedxml: a packet that declares entities, which can grow to gigabytes, is not read.
    """
    from defusedxml import ElementTree

    if len(packet) > LONGEST_XMP:
        return XmpWords()
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \r\n\t"))
    except Exception:  # ParseError, entities, unknown encodings
        return XmpWords()
    found: dict[str, list[str]] = {name: [] for name in (*_TEXTS, *_KEYWORDS)}
    for element in root.iter():
        if element.tag in found:
            found[element.tag] += [entry.text or "" for entry in element.iter(_LI)] or [element.text or ""]
        for name, value in element.attrib.items():  # a property may be an attribute of the element that it belongs to
            if name in found:
                found[name].append(value)
    texts = [text for name in _TEXTS for text in found[name]]
    keywords = [word for name in _KEYWORDS for text in found[name] for word in _levels(name, text)]
    return XmpWords(tuple(texts), tuple(keywords))


def _levels(name: str, keyword: str) -> list[str]:
    """Each level of a keyword in a hierarchy."""
    return [keyword] if name == _KEYWORDS[0] else keyword.replace("|", "/").split("/")
