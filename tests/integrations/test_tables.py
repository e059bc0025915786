"""Hits and photos as tables of other programs and as a notebook shows them, against what the library itself says."""

from __future__ import annotations

import base64
import io
import os
import pickle
import re
import sys
from collections.abc import Callable
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pandas
import polars
import pyarrow
import pytest
from PIL import Image

from mmsearch.errors import MMSearchError, QueryError
from mmsearch.integrations.tables import HIT, PHOTO
from mmsearch.library import results
from mmsearch.library.library import Library
from mmsearch.types import SearchResult


class Seen(HTMLParser):
    """Tags and attributes of a piece of HTML, and the text outside of them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self) -> list[Image.Image]:
        sources = [(attributes["src"] or "").partition(",") for tag, attributes in self.tags if tag == "img"]
        assert {kind for kind, _, _ in sources} <= {"data:image/webp;base64"}
        return [Image.open(io.BytesIO(base64.b64decode(data))) for _, _, data in sources]


def test_hits_are_rows(library: Library, photos: Path) -> None:
    library.index(photos)
    found = library.search("a man with a camera", k=3)
    table = found.to_arrow()
    assert table.column_names == list(HIT)
    assert table.to_pylist()[0] == {
        **dict.fromkeys(HIT),
        "rank": 1,
        "score": found[0].score,
        "relevance": found[0].relevance,
        "reasons": ["name: cameraman"],
        "similar": [],
        "id": found[0].photo.id,
        "path": str(photos / "cameraman.png"),
        "width": 512,
        "height": 512,
        "format": "png",
        "bytes": (photos / "cameraman.png").stat().st_size,
        "date": found[0].photo.date,
        "tags": [],
        "people": [],
    }
    frame, other = found.to_pandas(), found.to_polars()
    assert isinstance(frame, pandas.DataFrame)
    assert isinstance(other, polars.DataFrame)
    assert frame["path"].tolist() == other["path"].to_list() == [hit.path for hit in found]
    assert other.schema["date"] == polars.Datetime("us")


def test_no_hits_have_the_same_columns(library: Library, photos: Path) -> None:
    library.index(photos)
    full, empty = library.search("a cat"), library.search("type:gif")
    assert (len(empty), empty.to_arrow().schema) == (0, full.to_arrow().schema)
    assert list(empty.to_pandas().columns) == list(HIT)
    assert empty.to_polars().shape == (0, len(HIT))


def test_result_is_what_it_was(library: Library, photos: Path) -> None:
    library.index(photos)
    found = library.search("a cat", k=2)
    plain = SearchResult(found.hits, found.notes, found.next_offset, found.generation)
    assert found == plain == list(found)
    assert (repr(found), found.to_dict()) == (repr(plain), plain.to_dict())
    assert pickle.loads(pickle.dumps(found)) == found
    assert isinstance(found, SearchResult)


def test_items_are_read_in_blocks(library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (list(library.items()), len(library.items()), library.items()._repr_html_()) == (
        [],
        0,
        "<p>No pictures.</p>",
    )
    assert library.items().to_arrow().column_names == list(PHOTO)
    (photos / "again.png").write_bytes((photos / "cat.png").read_bytes())
    library.index(photos)
    monkeypatch.setattr(results, "BLOCK", 2)
    items = library.items()
    assert [len(block) for block in items.blocks()] == [3, 2, 1]  # two pictures each, one of them of two files
    assert list(items) == list(library)
    assert len(items) == 6
    assert [batch.num_rows for batch in items.to_batches()] == [3, 2, 1]
    assert items.to_pandas()["id"].tolist() == [photo.id for photo in library]
    assert repr(items) == f"<6 photos of {library.folder}>"


def test_items_meet_conditions(library: Library, photos: Path) -> None:
    library.index(photos)
    names = [os.path.basename(photo.path) for photo in library.items("type:png width:>500")]
    assert sorted(names) == sorted(os.path.basename(hit.path) for hit in library.search("type:png width:>500"))
    assert [os.path.basename(photo.path) for photo in library.items("-type:png", within=photos / "trips")] == [
        "rocket.jpg"
    ]
    assert len(library.items("type:gif")) == 0
    with pytest.raises(QueryError):
        library.items("a cat")
    with pytest.raises(QueryError):
        library.items("date:never")


def test_dates_are_those_of_the_camera(library: Library, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[306] = "2024:06:01 12:30:00"
    exif[0x9011] = "+02:00"
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "photos" / "a.jpg", exif=exif)
    library.index(tmp_path / "photos")
    (row,) = library.items().to_arrow().to_pylist()
    assert row["date"] == row["taken_at"] == datetime(2024, 6, 1, 12, 30)


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8 are Linux's")
def test_paths_that_are_no_utf8(library: Library, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "photos")
    os.mkdir(folder)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    os.rename(tmp_path / "red.png", os.path.join(folder, b"r\xff.png"))
    library.index(tmp_path / "photos")
    (row,) = library.items().to_arrow().to_pylist()
    assert row["path"].endswith("r\\xff.png")
    assert bytes.fromhex(row["path_bytes"]).endswith(b"/r\xff.png")
    assert "r\\xff.png" in Seen(library.search("red")._repr_html_()).text


def test_notebook_sees_pictures(library: Library, photos: Path) -> None:
    library.index(photos)
    (photos / "grass.png").unlink()
    found = library.search("a cat", k=3)
    seen = Seen(found._repr_html_())
    assert {picture.format for picture in seen.pictures()} == {"WEBP"}
    sizes = [max(picture.size) for picture in seen.pictures()]
    assert sizes == [160] * sum(os.path.exists(hit.path) for hit in found)
    assert "cat.png" in seen.text
    assert "The next page begins at offset=3." in seen.text
    assert "the file is gone" in Seen(library.search("grass type:png", k=5)._repr_html_()).text
    assert {tag for tag, _ in seen.tags} <= {"div", "figure", "img", "figcaption", "span", "b", "br", "p"}
    assert "No pictures were found." in library.search("type:gif")._repr_html_()


def test_twenty_are_shown_and_the_rest_counted(library: Library, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(22):
        Image.new("RGB", (30 + number, 30), (10 * number, 99, 9)).save(tmp_path / "photos" / f"{number}.png")
    library.index(tmp_path / "photos")
    hits, items = Seen(library.search("a colour", k=30)._repr_html_()), Seen(library.items()._repr_html_())
    assert [len(hits.pictures()), len(items.pictures())] == [20, 20]
    assert "… and 2 more hits." in hits.text
    assert "… and 2 more pictures." in items.text


def test_names_are_no_html(library: Library, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    name = "\"><img src=x onerror=alert(1)>'&amp;\x1b[31m.png"
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photos" / "plain.png")
    (tmp_path / "photos" / "plain.png").rename(tmp_path / "photos" / name)
    library.index(tmp_path / "photos")
    for html in (library.search("red")._repr_html_(), library.items()._repr_html_()):
        seen = Seen(html)
        assert len([tag for tag, _ in seen.tags if tag == "img"]) == 1
        assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
        assert name.replace("\x1b", "\\x1b") in seen.text
        assert not re.search("[\x00-\x09\x0b-\x1f]", html)


@pytest.mark.parametrize(
    ("package", "asked"),
    [
        ("pyarrow", lambda library: library.items().to_arrow()),
        ("pandas", lambda library: library.search("a cat").to_pandas()),
        ("polars", lambda library: library.search("a cat").to_polars()),
    ],
)
def test_what_is_missing_is_named(
    package: str, asked: Callable[[Library], object], library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(photos)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MMSearchError, match=rf"needs {package}; run: pip install 'mmsearch\[tables\]'") as caught:
        asked(library)
    assert (caught.value.code, caught.value.fields) == ("needs-tables", {"extra": "tables"})


def test_arrow_types() -> None:
    from mmsearch.integrations.tables import arrow_table

    schema = arrow_table(PHOTO, []).schema
    assert (schema.field("id").type, schema.field("tags").type) == (pyarrow.int64(), pyarrow.list_(pyarrow.string()))
