"""The file of a map: one file, nothing that could be read as a program, bounded whatever the library."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import mapped
import numpy as np
import pytest

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library
from mmsearch.manage.map import page


@pytest.fixture(scope="module")
def written(
    mapped_library: Path, encoder: OnnxEncoder, tag_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A map of thirty pictures, one of which has a hostile name and text."""
    folder = tmp_path_factory.mktemp("map page")
    settings = Settings(library=shutil.copytree(mapped_library, folder / "library"), cache=tag_cache)
    with open_library(settings.library, settings=replace(settings, device="cpu"), encoder=encoder) as library:
        library.map(folder / "map.html")
    return folder / "map.html"


class Read(HTMLParser):
    """What a parser of HTML finds in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data


def unpacked(text: str, dtype: str) -> list[int]:
    values: list[int] = np.frombuffer(base64.b64decode(text), dtype).tolist()
    return values


def test_the_page_is_one_file_with_no_text_that_is_a_program(written: Path) -> None:
    text = written.read_text("ascii")
    read = Read(text)
    scripts = [own for tag, own in read.tags if tag == "script"]
    assert [one.get("id", "") for one in scripts] == ["points", "photos", "pictures", ""]
    assert [one["type"] for one in scripts] == ["application/json"] * 3 + ["module"]
    assert not [
        name for _, own in read.tags for name in own if name.startswith("on") or name in ("src", "href", "style")
    ]
    assert not {tag for tag, _ in read.tags} & {"b", "link", "img", "iframe", "object"}
    addresses = re.findall(r"https?://[^\s\"']*", text)  # photos on web servers are told by how a path begins
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    policy = next(own["content"] for tag, own in read.tags if own.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy


def test_paths_and_words_are_in_it_as_they_are(written: Path, mapped_photos: Path) -> None:
    read = Read(written.read_text("ascii"))
    points, photos, pictures = (json.loads(read.texts[name]) for name in ("points", "photos", "pictures"))
    assert (points["points"], len(unpacked(points["places"], "<u2"))) == (30, 60)
    assert sum(one["size"] for one in points["clusters"]) == 30
    assert photos["folders"] == [str(mapped_photos)]
    assert sorted(photos["names"]) == sorted([*(f"{number:04d}.png" for number in range(29)), mapped.HOSTILE])
    assert unpacked(photos["at"], "<u4") == unpacked(pictures["at"], "<u4") == list(range(30))
    assert unpacked(photos["widths"], "<u4") == [mapped.SIDE] * 30
    assert list(photos["said"].values()) == ["</script><b>bold</b> told"]
    assert len(pictures["sheets"]) == 1
    assert pictures["sheets"][0].startswith("data:image/jpeg;base64,")


def test_pictures_and_paths_are_bounded(
    mapped_library: Path, encoder: OnnxEncoder, tag_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PICTURES", 7)
    monkeypatch.setattr(page, "PATHS", 12)
    settings = Settings(library=shutil.copytree(mapped_library, tmp_path / "library"), cache=tag_cache, device="cpu")
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        library.map(tmp_path / "map.html")
    read = Read((tmp_path / "map.html").read_text("ascii"))
    photos, pictures = (json.loads(read.texts[name]) for name in ("photos", "pictures"))
    with_path, with_picture = unpacked(photos["at"], "<u4"), unpacked(pictures["at"], "<u4")
    assert len(with_picture) == 7
    assert 12 <= len(with_path) <= 19
    assert set(with_picture) <= set(with_path)


def test_the_bundle_has_every_module_once_and_nothing_to_fetch() -> None:
    bundle = page.bundled()
    assert not re.search(r"^(import|export)\b", bundle, re.MULTILINE)
    names = re.findall(r"^(?:const|let|function|async function|class) (\w+)", bundle, re.MULTILINE)
    assert sorted(names) == sorted(set(names))
    assert "</" not in bundle
