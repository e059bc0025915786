"""The contact sheet: read back with a parser of its own."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import films
import numpy as np
import pytest
import typer
from PIL import Image
from samples import SAMPLES

from mmsearch.cli import sheet
from mmsearch.errors import SourceError
from mmsearch.types import Exif, Film, Hit, Moment, Photo

VOID = {"meta", "img", "br"}  # elements that have no end


class Page(HTMLParser):
    """Elements with their attributes and the text in them; a tag that is not closed, or closed wrongly, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], " ".join(data.split())))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def written(target: Path, hits: list[Hit], title: str = "a title") -> Page:
    sheet.write(sheet.check(target), hits, title, 200.0)
    return Page(target.read_text("utf-8"))


def hit(path: Path | str, rank: int = 1, **facts: object) -> Hit:
    photo = {name: facts.pop(name) for name in ("exif", "caption", "description", "text", "tags") if name in facts}
    return Hit(rank, 0.5, Photo(str(path), 60, 40, "jpeg", 1234, 0, **photo), **facts)  # type: ignore[arg-type]


def linked(attributes: dict[str, str | None]) -> bytes:
    """The path that a link leads to."""
    address = urlsplit(attributes["href"] or "")
    assert (address.scheme, address.netloc) == ("file", "")
    return unquote_to_bytes(address.path)


@pytest.mark.parametrize(
    "name",
    [b"plain.jpg", b"<script>alert('1')</script>.jpg", b"\"quoted\" & 'so'.jpg", "größe 🐕.jpg".encode(),
     b"caf\xe9.jpg", b"100%25 #1?x=1.jpg", b"line\nbreak\t.jpg", "\u202egpj.exe".encode()],
)  # fmt: skip
def test_any_name_is_shown_and_linked(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name.replace(b"/", b":"))
    try:
        with open(path, "wb") as file:
            Image.open(SAMPLES / "coffee.png").save(file, "JPEG")
    except OSError:
        pytest.skip("this file system wants other names")
    page = written(tmp_path / "sheet.html", [hit(os.fsdecode(path))])
    assert {linked(attributes) for attributes in page.all("a")} == {path}
    assert {tag for tag, _ in page.elements} == {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "p", "main", "ol", "li", "a", "img", "div",
        "span", "br", "footer",
    }  # fmt: skip
    (image,) = page.all("img")
    shown = os.path.basename(path).decode("utf-8", "backslashreplace")
    shown = shown.replace("\n", "\\n").replace("\t", "\\t").replace("\u202e", "\\u202e")
    assert image["alt"] == shown
    assert ("a", " ".join(shown.split())) in page.texts


def test_everything_known_of_a_hit_is_told(tmp_path: Path) -> None:
    exif = Exif(datetime(2024, 6, 1, 12, 30), "FUJIFILM X100V")
    facts = {"caption": "a <b>dog</b>", "description": "Rex &\nme", "text": "TAXI\n4711", "tags": ("dog", '"beach"')}
    second = {"relevance": 0.876, "reasons": ("name: <IMG>",), "answer": "yes", "answer_confidence": 0.614}
    found = hit("/gone/a.jpg", 3, exif=exif, similar=("/gone/b.jpg", "/gone/c&d.jpg"), **facts, **second)
    page = written(tmp_path / "sheet.html", [found], 'is there a dog? <i>&amp;"')
    assert page.texts[0] == ("title", 'is there a dog? <i>&amp;"')
    told = [text for _, text in page.texts[2:-1]]  # without style and footer
    assert told == [
        'is there a dog? <i>&amp;"', "1 picture", "the file is gone", "3", "0.500", "relevance 88%", "yes (61%)",
        "a.jpg", "/gone", "2024-06-01 12:30 · 60×40 · 1 kB · FUJIFILM X100V", "name: <IMG>", "“a <b>dog</b>”",
        "“Rex & me”", "reads: TAXI 4711", "dog", '"beach"', "+2 similar", "/gone/b.jpg", "/gone/c&d.jpg",
    ]  # fmt: skip
    assert [linked(link) for link in page.all("a")] == [b"/gone/a.jpg"] * 2 + [b"/gone/b.jpg", b"/gone/c&d.jpg"]


def test_pictures_are_in_the_file_small_and_upright(tmp_path: Path) -> None:
    """As many as there are hits whose file can be read; lying ones stand, small ones are not blown up."""
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    coffee = Image.open(SAMPLES / "coffee.png").convert("RGB")  # 600 x 400
    coffee.rotate(90, expand=True).save(tmp_path / "lying.jpg", exif=turned, quality=95)
    coffee.resize((60, 40)).save(tmp_path / "small.png")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "lying.jpg").read_bytes()[:3000])
    paths = [tmp_path / name for name in ("lying.jpg", "broken.jpg", "gone.jpg", "small.png")]
    sizes = [(600, 400), (600, 400), (600, 400), (60, 40)]
    hits = [
        Hit(rank, 0.5, Photo(str(path), *size, "jpeg", 1, 0, caption="a cup"))
        for rank, (path, size) in enumerate(zip(paths, sizes, strict=True), 1)
    ]
    page = written(tmp_path / "sheet.html", hits)
    images = page.all("img")
    assert [(image["width"], image["height"], image["alt"]) for image in images] == [
        ("320", "213", "lying.jpg: a cup"),
        ("60", "40", "small.png: a cup"),
    ]
    assert [text for tag, text in page.texts if tag == "span" and "file is" in text] == [
        "the file is truncated",
        "the file is gone",
    ]
    for image in images:
        head, _, data = (image["src"] or "").partition(",")
        assert head == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
        assert (picture.format, str(picture.width), str(picture.height)) == ("JPEG", image["width"], image["height"])
        wanted = np.asarray(coffee.resize(picture.size, Image.Resampling.LANCZOS)).astype(float)
        assert np.abs(np.asarray(picture) - wanted).mean() < 8  # of the JPEG; mirrored it would be over 40


def test_nothing_but_its_own_style_is_allowed(tmp_path: Path) -> None:
    page = written(tmp_path / "sheet.html", [])
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    style = (tmp_path / "sheet.html").read_text("utf-8").split("<style>")[1].split("</style>")[0]
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    )
    assert not [name for _, attributes in page.elements for name in attributes if name == "style" or name[:2] == "on"]


def test_no_hits_are_said(tmp_path: Path) -> None:
    page = written(tmp_path / "sheet.html", [])
    assert ("p", "No pictures were found") in page.texts
    assert page.all("li") == []


def test_a_sheet_takes_the_place_of_a_sheet_and_of_nothing_else(tmp_path: Path) -> None:
    written(tmp_path / "sheet.html", [hit("/gone/a.jpg")])
    written(tmp_path / "sheet.html", [hit("/gone/b.jpg")])
    assert "b.jpg" in (tmp_path / "sheet.html").read_text("utf-8")
    (tmp_path / "link.htm").symlink_to(tmp_path / "sheet.html")
    written(tmp_path / "link.htm", [hit("/gone/c.jpg")])
    assert (tmp_path / "link.htm").is_symlink()
    assert "c.jpg" in (tmp_path / "sheet.html").read_text("utf-8")
    (tmp_path / "empty.html").touch()
    for beginning in ("\ufeff <!-- <b> --> <!doctype HTML>", '<?xml version="1.0"?>\n<html lang="en">'):
        (tmp_path / "other.html").write_text(beginning, "utf-8")
        assert sheet.check(tmp_path / "other.html") == (tmp_path / "other.html").resolve()
    assert sheet.check(tmp_path / "empty.html") == (tmp_path / "empty.html").resolve()
    for number, content in enumerate([b"\xff\xd8\xff\xe0 a photo", b"notes on <html>", b"<htmlx>"]):
        (tmp_path / f"{number}.html").write_bytes(content)
        with pytest.raises(SourceError, match="it is no HTML file"):
            sheet.check(tmp_path / f"{number}.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(SourceError, match="it is a folder"):
        sheet.check(tmp_path / "folder.html")
    with pytest.raises(SourceError, match="there is no folder"):
        sheet.check(tmp_path / "nowhere" / "sheet.html")
    for name in ("photo.jpg", "sheet"):
        with pytest.raises(typer.BadParameter, match=r"must end in \.html"):
            sheet.check(tmp_path / name)


def test_a_sheet_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    written(tmp_path / "sheet.html", [hit("/gone/a.jpg")])
    before = (tmp_path / "sheet.html").read_bytes()
    with pytest.raises(ValueError, match="relative path"):
        sheet.write(tmp_path / "sheet.html", [hit("/gone/b.jpg"), hit("no/full/path.jpg")], "x", 200.0)
    assert (tmp_path / "sheet.html").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.html"]


def test_films_and_documents_have_a_strip_of_their_best_parts(tmp_path: Path) -> None:
    film, pages = tmp_path / "trip.mp4", tmp_path / "album.pdf"
    shots = [films.Shot(films.photo(name), 2.0) for name in ("rocket", "coffee", "chelsea")]
    film.write_bytes(films.film(shots))
    shown = [Image.fromarray(films.photo(name)) for name in ("rocket", "coffee", "chelsea")]
    shown[0].save(pages, save_all=True, append_images=shown[1:])
    moments = (Moment(2, 0.3, 4000, 6000, 4000), Moment(0, 0.2, 0, 2000, 0))
    hits = [
        Hit(1, 0.3, Photo(str(film), 160, 120, "mp4", 9000, 0, film=Film(6000)), moments=moments),
        Hit(2, 0.3, Photo(str(pages), 160, 120, "pdf", 9000, 0), moments=(Moment(1, 0.3), Moment(0, 0.1))),
    ]
    page = Page("".join(sheet.html(hits, "a cat", 200.0)))
    links = [
        str(attributes["href"]) for tag, attributes in page.elements if tag == "a" and "#" in str(attributes["href"])
    ]
    assert links == [
        f"{film.as_uri()}#t=0",
        f"{film.as_uri()}#t=4",
        f"{pages.as_uri()}#page=1",
        f"{pages.as_uri()}#page=2",
    ]
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(str(attributes["src"]).split(",")[1])))).mean((0, 1))
        for tag, attributes in page.elements
        if tag == "img"
    ]
    rocket, coffee, cat = (films.photo(name).mean((0, 1)) for name in ("rocket", "coffee", "chelsea"))
    for got, wanted in zip(pictures, [cat, rocket, cat, coffee, rocket, coffee], strict=True):  # the best one is large
        np.testing.assert_allclose(got, wanted, atol=8)
    texts = [text for _, text in page.texts]
    assert {"0:04", "p. 2"} <= set(texts)
    assert any("0:06" in text for text in texts)
