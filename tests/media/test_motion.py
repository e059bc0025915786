"""Photos with a film of their moment in the same file are read as photos, and say so."""

from __future__ import annotations

import io
import struct

import pytest
from films import film, photos
from PIL import Image

from mmsearch.media.decode import decode
from mmsearch.media.kinds import kind_of
from mmsearch.types import Preprocess

CAMERA = 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{}</rdf:RDF></x:xmpmeta>'


def jpeg(xmp: str = "", behind: bytes = b"") -> bytes:
    file = io.BytesIO()
    options = {"xmp": XMP.format(xmp).encode()} if xmp else {}
    Image.fromarray(photos()[0]).save(file, "JPEG", **options)
    return file.getvalue() + behind


def samsung(kind: int, name: bytes, content: bytes) -> bytes:
    """What Samsung writes behind a picture: a block with its name, and the directory of all blocks."""
    block = struct.pack("<HHI", 0, kind, len(name)) + name + content
    directory = b"SEFH" + struct.pack("<II", 107, 1) + struct.pack("<HHII", 0, kind, len(block), len(block))
    return block + directory + struct.pack("<I", len(directory)) + b"SEFT"


MOVING = [
    jpeg(f'<rdf:Description {CAMERA} GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"/>', b"film"),
    jpeg(f"<rdf:Description {CAMERA}><GCamera:MicroVideo>1</GCamera:MicroVideo></rdf:Description>", b"film"),
    jpeg(behind=samsung(0x0A30, b"MotionPhoto_Data", b"film")),
]
STILL = [
    jpeg(),
    jpeg(f'<rdf:Description {CAMERA} GCamera:MotionPhoto="0"/>'),
    jpeg(behind=samsung(0x0A01, b"Image_UTC_Data", b"1700000000000")),
    jpeg(behind=b"\xff\xff\xff\xffSEFT"),
    jpeg(behind=b"SEFT"),
]


@pytest.mark.parametrize("number", range(len(MOVING)))
def test_a_motion_photo_is_a_photo_and_says_so(number: int) -> None:
    found = decode(io.BytesIO(MOVING[number]), "a.jpg", Preprocess(8))
    assert (found.format, found.width, found.parts, found.film) == ("jpeg", 160, (), None)
    assert found.description == "motion photo"


@pytest.mark.parametrize("number", range(len(STILL)))
def test_others_do_not(number: int) -> None:
    assert decode(io.BytesIO(STILL[number]), "a.jpg", Preprocess(8)).description is None


def test_with_a_real_film_behind_it_it_stays_a_photo() -> None:
    pytest.importorskip("av")
    content = jpeg(f'<rdf:Description {CAMERA} GCamera:MotionPhoto="1"/>', film(photos()[:1]))
    assert kind_of(io.BytesIO(content), "PXL.MP.jpg") == "photo"
    assert decode(io.BytesIO(content), "PXL.MP.jpg", Preprocess(8)).description == "motion photo"
