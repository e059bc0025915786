"""Files beside photos: which belong to which, what they say, and when they are read again."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from samples import CLI

from mmsearch.ingest.enrich.sidecars import _File, said_of, stamp
from mmsearch.library.library import Library
from mmsearch.types import Annotations, Exif, IndexReport, Photo

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>
<rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description><dc:subject><rdf:Bag>{keywords}</rdf:Bag>
</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""


def xmp(text: str, *keywords: str) -> str:
    return XMP.format(text=text, keywords="".join(f"<rdf:li>{word}</rdf:li>" for word in keywords))


def takeout(text: str, *people: str) -> str:
    return json.dumps({"title": "not looked at", "description": text, "people": [{"name": name} for name in people]})


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (20 * seed, 90, 40)).save(path, "JPEG")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos."""
    picture(tmp_path / "photos" / "one.jpg", 1)
    picture(tmp_path / "photos" / "two.jpg", 2)
    return tmp_path / "photos"


def descriptions(library: Library, folder: Path | None = None) -> dict[str, str | None]:
    """What each photo is said to show, by file name, or by its path in ``folder``."""
    model = library.store.model()
    assert model is not None
    ids = library.store.searchable(model).tolist()
    photos = [photo for some in library.store.photos(ids).values() for photo in some]
    return {os.path.relpath(p.path, folder) if folder else Path(p.path).name: p.description for p in photos}


def found(library: Library, text: str) -> list[str]:
    """Names of the photos with these words."""
    model = library.store.model()
    assert model is not None
    numbers = [hit.number for hit in library.store.find_words(text, model)]
    files = library.store.photos(numbers)
    return [Path(photo.path).name for number in numbers for photo in files[number]]


def written(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        place = folder / name.replace("__", ".")
        place.write_bytes(content if isinstance(content, bytes) else content.encode())


def report_of(library: Library, folder: Path) -> tuple[int, int, int]:
    report: IndexReport = library.index(folder)
    return report.sidecars, report.encoded, report.unchanged


LONG = "a_name_that_is_longer_than_what_takeout_keeps_of_it"  # 51 characters

BELONGS = [
    ("a.jpg", "a.txt", True),
    ("a.jpg", "a.jpg.txt", True),
    ("a.jpg", "A.TXT", True),
    ("A.JPG", "a.jpg.xmp", True),
    ("a.jpg", "a.xmp", True),
    ("a.b.jpg", "a.b.xmp", True),
    ("käse.jpg", unicodedata.normalize("NFD", "käse.txt"), True),
    ("a.jpg", "b.txt", False),
    ("a.jpg", "ab.txt", False),
    ("ab.jpg", "a.txt", False),
    ("a.jpg", "a.png.txt", False),
    ("a.jpg", "a.md", False),
    ("a.jpg", "txt", False),
    # Google Takeout
    ("a.jpg", "a.jpg.json", True),
    ("a.jpg", "a.jpg.supplemental-metadata.json", True),
    ("a.jpg", "a.jpg.supplemental-met.json", True),
    ("a.jpg", "a.jpg.su.json", True),
    ("a.jpg", "a.jpg.s.json", True),
    ("a.jpg", "a.jpg..json", True),
    ("a(1).jpg", "a.jpg(1).json", True),
    ("a(1).jpg", "a.jpg.supplemental-metadata(1).json", True),
    ("a-edited.jpg", "a.jpg.json", True),
    ("a-edited(1).jpg", "a.jpg(1).json", True),
    (f"{LONG[:47]}.jpg", f"{LONG[:46]}.json", True),
    ("a(1).jpg", "a(1).jpg.supplemental-metadata.json", True),  # the number is part of the name
    ("a.jpg", "a.supplemental-metadata.json", True),  # without the photo's suffix
    ("a(1).jpg", "a.supplemental-metadata(1).json", True),
    ("a-edited.jpg", "a.supplemental-metadata.json", True),
    ("a-edited(1).jpg", "a.jpg.supplemental-metadata(1).json", True),
    (f"{LONG[:40]}.jpg", f"{LONG[:40]}.suppl.json", True),
    (f"{LONG[:47]}(12).jpg", f"{LONG[:46]}(12).json", True),
    ("a.jpg", "a.supplemental-metadata(1).json", False),
    ("a(1).jpg", "a.supplemental-metadata.json", False),
    ("a.jpg", "a.s.json", False),
    ("a.jpg", "a.supplement.json", False),
    ("a.jpg", "a.jpg(1).json", False),
    ("a(1).jpg", "a.jpg.json", False),
    ("a.jpg", "a.png.json", False),
    ("a.jpg", "a.json", False),
    ("a.jpg", "metadata.json", False),
]


def test_which_files_belong_to_a_photo(library: Library, tmp_path: Path) -> None:
    for number, (photo, file, _) in enumerate(BELONGS):
        picture(tmp_path / f"{number}" / photo)
        text = {".xmp": xmp("said"), ".json": takeout("said")}.get(Path(file).suffix.lower(), "said")
        (tmp_path / f"{number}" / file).write_text(text, "utf-8")
    library.index(tmp_path)
    wanted = {f"{number}/{photo}": "said" if belongs else None for number, (photo, _, belongs) in enumerate(BELONGS)}
    assert descriptions(library, tmp_path) == wanted


SAYS: list[tuple[str, str | bytes, str]] = [
    ("a.txt", b"A day\r\n\r\n at the  lake\n", "A day\nat the lake"),
    ("a.txt", "\ufeffGrüße".encode(), "Grüße"),
    ("a.txt", "Grüße\n".encode("utf-16"), "Grüße"),
    ("a.txt", "Grüße\n".encode("latin-1"), "Grüße"),
    ("a.txt", b"", ""),
    ("a.txt", b"\n\n----\n", ""),
    ("a.txt", b"\0\1\2binary", ""),
    ("a.txt", b"OLYMPUS DIGITAL CAMERA", ""),
    ("a.txt", b"x" * 9000, "x" * 2000),
    ("a.txt", b"\x1b[31mred", "[31mred"),
    ("a.xmp", xmp("Up the hill", "tram", "Lisbon"), "Up the hill\ntram, Lisbon"),
    ("a.xmp", xmp("Up the hill")[:-30], "Up the hill"),
    ("a.xmp", xmp("Up the hill")[:200], ""),
    ("a.xmp", '<!DOCTYPE x [<!ENTITY a "b">]>' + xmp("&a;"), ""),
    ("a.jpg.json", takeout("Up the hill", "Ann", "Bob"), "Up the hill\nAnn, Bob"),
    ("a.jpg.json", takeout(""), ""),
    ("a.jpg.json", "{", ""),
    ("a.jpg.json", "[" * 100_000, ""),
    ("a.jpg.json", "[1, 2]", ""),
    ("a.jpg.json", '{"description": 5, "people": [7, {"name": 8}, {}]}', ""),
    ("a.jpg.json", '{"description": "\\ud800 kite", "people": {}}', "kite"),
]


def test_what_files_say(library: Library, tmp_path: Path) -> None:
    for number, (file, content, _) in enumerate(SAYS):
        picture(tmp_path / f"{number}" / "a.jpg")
        (tmp_path / f"{number}" / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert library.index(tmp_path).sidecars == len(SAYS)
    assert descriptions(library, tmp_path) == {f"{n}/a.jpg": text or None for n, (*_, text) in enumerate(SAYS)}
    assert library.index(tmp_path).sidecars == 0


TOOL = """<r xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" {}/>"""
PARIS = 'exif:GPSLatitude="48,30N" exif:GPSLongitude="2,15E"'


def google(seconds: object, latitude: object = 0.0, longitude: object = 0.0, *people: str) -> str:
    place = {"latitude": latitude, "longitude": longitude, "altitude": 0.0}
    named = [{"name": name} for name in people]
    return json.dumps({"photoTakenTime": {"timestamp": seconds}, "geoData": place, "people": named})


ODD: list[tuple[Any, ...]] = [
    ("0",), ("soon",), (None,), ([],), ("1e400",), (10**400,), (1e18,), ("nan",), ("0", 91, 5), ("0", "x", 5),
    ("0", True, True), ("0", [1], {}), ("0", 10**400, 5),
]  # fmt: skip
SCAN = datetime(1985, 7, 14, 12)
UPLOAD = datetime(2016, 11, 3, 12, 4, 45, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("files", "exif", "annotations", "fallback"),
    [
        ({"a.xmp": TOOL.format('exif:DateTimeOriginal="1985-07-14T12:00:00"')}, Exif(SCAN), Annotations(), Exif()),
        ({"a.xmp": TOOL.format('xmp:CreateDate="1985-07-14T12:00:00"')}, Exif(), Annotations(), Exif(SCAN)),
        ({"a.xmp": TOOL.format(f'{PARIS} photoshop:City="Paris" xmp:Rating="5"')},
         Exif(latitude=48.5, longitude=2.25), Annotations("Paris", (), 5), Exif()),
        ({"a.xmp": TOOL.format('i:PersonInImage="Ann"'), "a.jpg.json": google("1478174685", 48.5, 2.25, "Bob", "ANN")},
         Exif(), Annotations(None, ("Ann", "Bob")), Exif(UPLOAD, None, None, 48.5, 2.25)),
        ({"a.jpg.json": google(1478174685)}, Exif(), Annotations(), Exif(UPLOAD)),
        *(({"a.jpg.json": google(*odd)}, Exif(), Annotations(), Exif()) for odd in ODD),
    ],
)  # fmt: skip
def test_dates_places_and_people(
    tmp_path: Path, files: dict[str, str], exif: Exif, annotations: Annotations, fallback: Exif
) -> None:
    given = []
    for name, content in files.items():
        (tmp_path / name).write_text(content, "utf-8")
        given.append(_File(str(tmp_path / name), 1, 1))
    said = said_of(given)
    assert (said.exif, said.annotations, said.fallback) == (exif, annotations, fallback)


def photo(library: Library, name: str) -> Photo:
    model = library.store.model()
    assert model is not None
    found = library.store.photos(library.store.searchable(model).tolist())
    return next(one for some in found.values() for one in some if Path(one.path).name == name)


def test_what_is_said_beside_belongs_to_that_file_and_counts_in_every_query(library: Library, tmp_path: Path) -> None:
    """Two copies of one photo of 2001: XMP beside the first corrects it, Takeout beside the second says no more."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2001:02:03 04:05:06"
    Image.new("RGB", (16, 16), "red").save(tmp_path / "one.jpg", exif=exif.tobytes())
    shutil.copy(tmp_path / "one.jpg", tmp_path / "two.jpg")
    picture(tmp_path / "three.jpg")
    written(tmp_path, one__xmp=TOOL.format(f'{PARIS} exif:DateTimeOriginal="1985-07-14T12:00:00" xmp:Rating="4"'))
    written(tmp_path, two__jpg__json=google("1478174685", 50.0, 8.0, "Łucja"))
    written(tmp_path, three__jpg__json=google("1478174685", 50.0, 8.0))
    library.index(tmp_path)

    def names(query: str) -> list[str]:
        return sorted(Path(hit.path).name for hit in library.search(query))

    first, second = photo(library, "one.jpg"), photo(library, "two.jpg")
    assert (first.exif.taken_at, first.exif.latitude, first.annotations.rating) == (SCAN, 48.5, 4)
    assert (second.exif.taken_at, second.exif.latitude) == (datetime(2001, 2, 3, 4, 5, 6), 50.0)
    assert second.annotations.people == ("Łucja",)
    assert photo(library, "three.jpg").exif.taken_at == UPLOAD
    for query, wanted in {
        "taken:1985-07": ["one.jpg"],
        "taken:2001": ["two.jpg"],
        "date:2016-11": ["three.jpg"],
        "near:48.5,2.25,1km": ["one.jpg"],
        "near:50,8,1km": ["three.jpg", "two.jpg"],
        "has:gps": ["one.jpg", "three.jpg", "two.jpg"],
        "rating:>=4": ["one.jpg"],
        "person:lucja": ["two.jpg"],
    }.items():
        assert names(query) == wanted, query
    assert Path(library.search("sort:date")[0].path).name == "three.jpg"  # its file is as old as the others
    assert library.status().summary.years == {1985: 1, 2001: 1, 2016: 1}
    (tmp_path / "one.xmp").unlink()
    library.index(tmp_path)
    assert names("taken:2001") == ["one.jpg", "two.jpg"]  # the same, in a process that goes on
    assert names("taken:1985") == names("rating:4") == []


def test_a_long_text_is_cut_between_letters(library: Library, folder: Path) -> None:
    """8,000 bytes are read; the last of them lies within a letter of two."""
    written(folder, one__txt=b"a" + " ".join(["ä"] * 4000).encode())
    library.index(folder)
    said = descriptions(library)["one.jpg"]
    assert said is not None
    assert said == ("a" + " ".join(["ä"] * 1000))[:2000].rstrip()


def test_what_several_files_say_comes_together(library: Library, folder: Path) -> None:
    """Texts in the order of the files' names, then keywords and people; what is the same, once."""
    written(folder, one__jpg__txt="From the text", one__xmp=xmp("From XMP", "tram", "Ann"))
    written(folder, one__jpg__json=takeout("From Takeout", "Ann", "Bob"), one__txt="from xmp")
    assert library.index(folder).sidecars == 1
    said = "From Takeout\nFrom the text\nfrom xmp\nAnn, Bob, tram"
    assert descriptions(library)["one.jpg"] == said
    assert library.status().summary.described == 1


def test_photos_are_found_by_them(library: Library, folder: Path) -> None:
    written(folder, one__txt="Grandma's birthday cake", two__xmp=xmp("", "harbour"))
    library.index(folder)
    assert found(library, "birthday") == ["one.jpg"]
    assert found(library, "harbours") == ["two.jpg"]
    assert found(library, "kite") == []


def test_changed_new_and_deleted_files(library: Library, folder: Path) -> None:
    written(folder, one__txt="first")
    assert report_of(library, folder) == (1, 2, 0)
    assert report_of(library, folder) == (0, 0, 2)
    generation = library.status().generation
    written(folder, one__txt="second, longer", two__txt="third")
    assert report_of(library, folder) == (2, 0, 2)
    assert descriptions(library) == {"one.jpg": "second, longer", "two.jpg": "third"}
    assert (found(library, "first"), found(library, "second")) == ([], ["one.jpg"])
    written(folder, one__jpg__txt="a second file")
    assert report_of(library, folder) == (1, 0, 2)
    assert descriptions(library)["one.jpg"] == "a second file\nsecond, longer"
    for name in ("one.txt", "one.jpg.txt", "two.txt"):
        (folder / name).unlink()
    assert report_of(library, folder) == (0, 0, 2)
    assert descriptions(library) == {"one.jpg": None, "two.jpg": None}
    assert found(library, "second") == []
    assert library.status().generation == generation  # no vector changed: no index is built anew


def test_the_time_of_a_file_tells_that_it_changed(library: Library, folder: Path) -> None:
    written(folder, one__txt="red")
    library.index(folder)
    written(folder, one__txt="tea")
    os.utime(folder / "one.txt", ns=(1, 1))
    assert report_of(library, folder) == (1, 0, 2)
    assert descriptions(library)["one.jpg"] == "tea"


def test_files_move_with_their_photos(library: Library, folder: Path) -> None:
    written(folder, one__txt="with it", two__txt="left behind")
    library.index(folder)
    (folder / "sub").mkdir()
    for name in ("one.jpg", "one.txt", "two.jpg"):
        (folder / name).rename(folder / "sub" / name)
    report = library.index(folder)
    assert (report.moved, report.encoded) == (2, 0)
    assert descriptions(library) == {"one.jpg": "with it", "two.jpg": None}


def test_each_copy_has_its_own_files(library: Library, folder: Path) -> None:
    shutil.copy(folder / "one.jpg", folder / "copy.jpg")
    written(folder, one__txt="the first", copy__txt="the copy")
    assert library.index(folder).sidecars == 2
    assert descriptions(library) == {"one.jpg": "the first", "copy.jpg": "the copy", "two.jpg": None}


def test_a_folder_that_is_gone_costs_no_description(library: Library, folder: Path) -> None:
    written(folder, one__txt="still known")
    library.index(folder)
    folder.rename(folder.with_name("unplugged"))
    assert library.index().sidecars == 0
    assert descriptions(library)["one.jpg"] == "still known"
    folder.with_name("unplugged").rename(folder)
    assert report_of(library, folder) == (0, 0, 2)


def test_only_named_folders_are_looked_at(library: Library, folder: Path) -> None:
    picture(folder / "sub" / "three.jpg", 3)
    library.index(folder)
    written(folder, one__txt="outside")
    (folder / "sub" / "three.txt").write_text("inside")
    assert library.index(folder / "sub").sidecars == 1
    assert descriptions(library) == {"one.jpg": None, "two.jpg": None, "three.jpg": "inside"}
    assert library.index(folder / "one.jpg").sidecars == 1
    assert descriptions(library)["one.jpg"] == "outside"


def test_a_folder_named_like_a_text_is_none(library: Library, folder: Path) -> None:
    (folder / "one.txt").mkdir()
    (folder / "two.txt").symlink_to(folder / "nowhere")
    assert library.index(folder).sidecars == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_tried_again(
    library: Library, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(folder, one__txt="first", two__txt="other")
    library.index(folder)
    written(folder, one__txt="second!", two__txt="another")
    (folder / "one.txt").chmod(0)
    assert report_of(library, folder) == (1, 0, 2)
    assert f"{folder / 'one.txt'} cannot be read: Permission denied" in caplog.messages
    assert descriptions(library) == {"one.jpg": "first", "two.jpg": "another"}
    (folder / "one.txt").chmod(0o600)
    assert report_of(library, folder) == (1, 0, 2)
    assert descriptions(library)["one.jpg"] == "second!"


def test_more_photos_than_fit_a_transaction(library: Library, tmp_path: Path) -> None:
    first = picture(tmp_path / "photos" / "0.jpg")
    for number in range(1, 1201):
        os.link(first, first.with_name(f"{number}.jpg"))
    for number in range(0, 1201, 2):
        first.with_name(f"{number}.txt").write_text(f"number {number}")
    assert library.index(first.parent).sidecars == 601
    wanted = {f"{n}.jpg": f"number {n}" if n % 2 == 0 else None for n in range(1201)}
    assert descriptions(library) == wanted


def test_a_stamp_tells_names_sizes_and_times(tmp_path: Path) -> None:
    one = _File("/a/one.txt", 5, 7)
    others = [_File("/a/two.txt", 5, 7), _File("/a/one.txt", 6, 7), _File("/a/one.txt", 5, 8)]
    assert len({stamp([file]) for file in (one, *others)}) == 4
    assert stamp([one]) == stamp([_File("/elsewhere/one.txt", 5, 7)])
    with pytest.raises(FileNotFoundError):
        said_of([_File(str(tmp_path / "gone.txt"), 1, 1)])


def test_the_command_line_says_what_was_read(mmsearch: CLI, folder: Path) -> None:
    written(folder, one__txt="the allotment in June")
    first = mmsearch("index", folder, "--no-regions")
    assert "files beside 1 photo read" in first.stderr
    assert "beside" not in mmsearch("index", folder, "--no-regions").stderr
    [hit] = [json.loads(line) for line in mmsearch("query", '"allotment"', "--json", "-k", "1").stdout.splitlines()]
    assert Path(hit["path"]).name == "one.jpg"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_link_out_of_the_indexed_folders_is_not_read(library: Library, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the key of the safe", "utf-8")
    (folder / "texts").mkdir()
    (folder / "texts" / "two").write_text("a second photo", "utf-8")
    (folder / "one.txt").symlink_to(tmp_path / "secret")
    (folder / "two.txt").symlink_to(folder / "texts" / "two")
    away = picture(tmp_path / "away" / "three.jpg", 3)
    away.with_suffix(".txt").write_text("a third photo", "utf-8")
    (folder / "linked").symlink_to(away.parent)
    library.index(folder)
    assert descriptions(library) == {"one.jpg": None, "two.jpg": "a second photo", "three.jpg": "a third photo"}
