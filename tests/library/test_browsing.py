"""Facets and thumbnails of a library: what they say is what a search and the files show."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mmsearch.config import Settings
from mmsearch.errors import ImageError, NoModelError, QueryError
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.thumbnail_cache import Thumbnail

ODD = ['a, "b" -c', "it's (2024)", "date:2024", "Zoë & co; -x", "tab\tand\\slash"]


def test_each_value_leaves_as_many_as_it_says(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number, name in enumerate(ODD):
        own = folder / name.replace("/", "_")
        own.mkdir(parents=True)
        exif = Image.Exif()
        exif[272] = name.encode("ascii", "replace").decode()  # model
        exif[306] = f"{2001 + number}:06:01 12:00:00"
        for copy in range(number + 1):
            image = Image.new("RGB", (40 + copy, 30 + number), (20 * number, 20 * copy, 90))
            image.save(own / f"{number}{copy}.jpg", exif=exif)
        xmp = "".join(f"<rdf:li>{word}</rdf:li>" for word in [name.replace("&", "&amp;")])
        (own / f"{number}0.xmp").write_text(
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
            'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"><Iptc4xmpExt:PersonInImage><rdf:Bag>'
            f"{xmp}</rdf:Bag></Iptc4xmpExt:PersonInImage><photoshop:City>{name.replace('&', '&amp;')}</photoshop:City>"
            "</rdf:Description></rdf:RDF></x:xmpmeta>",
            "utf-8",
        )
    library.index(folder)
    found = library.facets()
    assert (found.photos, found.complete) == (15, True)
    assert {facet.field for facet in found.facets} == {"year", "camera", "folder", "type", "person", "city"}
    assert [len(found[name].values) for name in ("year", "camera", "folder", "person", "city")] == [5, 5, 6, 5, 5]
    for facet in found.facets:
        for value in facet.values:
            hits = library.search(value.query, k=100)
            assert len(hits) == value.count, value
            inside = library.facets(where=value.query)
            assert inside.photos == value.count
            assert inside[facet.field].values[0].count <= value.count
    said = json.loads(json.dumps(found.to_dict()))
    assert said["facets"][0]["values"][0] == {"value": "2005", "count": 5, "query": "date:2005"}
    assert (said["counted"], said["complete"], said["notes"]) == (15, True, [])
    with pytest.raises(KeyError):
        found["nothing"]


def test_facets_of_what_a_query_finds(library: Library, photos: Path) -> None:
    with pytest.raises(NoModelError):
        library.facets()
    library.index(photos)
    everything, cats = library.facets(" "), library.facets("a cat", min_relevance=0.5)
    assert {value.value: value.count for value in everything["type"].values} == {"png": 4, "jpeg": 1}
    assert (everything["tag"].values, everything["folder"].more) == ((), False)
    assert cats.photos == len(library.search("a cat", min_relevance=0.5, k=100, rerank=False)) < 5
    assert sum(value.count for value in cats["type"].values) == cats.photos
    assert library.facets("a cat").photos == 5
    trips = library.facets("a cat", within=photos / "trips", where="type:png")
    assert (trips.photos, trips["folder"].values[0].value) == (1, str(photos))
    assert library.facets("type:jpeg -words:cat").photos == 1
    assert library.facets(most=1)["folder"].more
    assert library.facets(photos / "cat.png").photos == 4  # an example is no hit of its own
    with pytest.raises(QueryError):
        library.facets("date:never")


def test_only_the_best_hits_are_counted(library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.index(photos)
    monkeypatch.setattr("mmsearch.library.facets.BEST", 2)
    found = library.facets("a cat")
    assert (found.photos, found.complete) == (2, False)
    assert (library.facets("type:png").photos, library.facets("type:png").complete) == (4, True)


def test_a_thumbnail_of_a_photo_is_kept_beside_the_library(library: Library, photos: Path, tmp_path: Path) -> None:
    library.index(photos)
    cat = library.get(photos / "cat.png")
    assert cat is not None
    small = library.thumbnail(cat, 160)
    assert isinstance(small, Thumbnail)
    assert Image.open(io.BytesIO(small.content)).size == (160, 106)
    assert [file.suffix for file in (library.folder / "thumbnails").rglob("*.*")] == [".thumb"]
    before = library.status().generation
    assert library.verify(deep=True) == []
    assert library.repair().left == ()
    library.backup(tmp_path / "saved")
    assert small.content not in (tmp_path / "saved").read_bytes()
    assert library.status().generation == before
    assert library.index(photos).added == 0
    (photos / "cat.png").unlink()
    assert library.thumbnail(cat, 160) == small  # as the file itself cannot be seen
    rough = library.thumbnail(cat, 640)  # none was kept: what region tokens tell
    assert (rough.rough, small.rough) == (True, False)
    assert Image.open(io.BytesIO(rough.content)).size == (256, 170)
    assert not list((library.folder / "thumbnails").rglob("*-640.thumb"))  # it is no picture of the file
    (photos / "cat.png").mkdir()  # not gone, but no picture either
    with pytest.raises(ImageError):
        library.thumbnail(cat, 640)


def test_a_photo_without_region_tokens_has_no_rough_picture(settings: Settings, photos: Path) -> None:
    with open_library(settings.library, settings=replace(settings, regions=False)) as library:
        library.index(photos)
        cat = library.get(photos / "cat.png")
        assert cat is not None
        assert library.rough_picture(cat) is None
        (photos / "cat.png").unlink()
        with pytest.raises(ImageError, match="the file is gone"):
            library.thumbnail(cat, 640)


def test_a_library_among_the_photos_does_not_index_its_thumbnails(library: Library, photos: Path) -> None:
    library.index(photos)
    for photo in library:
        library.thumbnail(photo)
    shutil.copytree(library.folder / "thumbnails", photos / "thumbnails")
    assert library.index(photos).added == 0


def test_what_is_left_of_a_library_may_be_thumbnails(tmp_path: Path) -> None:
    from mmsearch.errors import LibraryError
    from mmsearch.library.opening import open_library

    (tmp_path / "thumbnails" / "ab").mkdir(parents=True)
    open_library(tmp_path).close()
    (tmp_path / "other" / "thumbnails" / "mine").mkdir(parents=True)
    with pytest.raises(LibraryError, match="holds other files, such as 'thumbnails/mine'"):
        open_library(tmp_path / "other")
