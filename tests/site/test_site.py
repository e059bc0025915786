"""The site, built offline from the checkout: no link leads nowhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import mmsearch

ROOT = Path(__file__).parent.parent.parent
FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}


class Page(HTMLParser):
    """What a page links to, what it fetches, and what links can name in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: value or "" for name, value in attrs}
        self.anchors |= {own[name] for name in ("id", "name") if name in own}
        if tag == "a" and "href" in own:
            self.links.append(own["href"])
        if tag == "link" and own.get("rel", "") not in ("canonical", "alternate", "next", "prev"):
            self.fetched.append(own.get("href", ""))
        if FETCHING.get(tag, "") in own:
            self.fetched.append(own[FETCHING[tag]])


def test_every_page_is_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    named = set(re.findall(r"[\w-]+\.md", str(nav)))
    made = runpy.run_path(str(ROOT / "docs" / "make_site.py"))
    shown = {page for page in made["pages"]().values() if page.endswith(".md")} | {"python-reference.md"}
    assert named <= shown
    assert shown - named == {"license.md", "model-card.md", "model-card-reranker.md"}  # these are linked from others


def test_no_plugin_is_asked_for() -> None:
    """Zensical passes over those that it does not know, in silence."""
    assert "plugins" not in yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    made = runpy.run_path(str(ROOT / "docs" / "make_site.py"))
    made["write"](folder / "build" / "pages")
    proxy = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **proxy}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "site"


@pytest.mark.slow
def test_no_link_is_broken_and_nothing_comes_from_elsewhere(site: Path) -> None:
    pages = {file: Page(file) for file in site.rglob("*.html")}
    assert len(pages) >= 30
    broken, foreign = [], []
    for file, page in pages.items():
        if file.name == "404.html":  # it is shown at any address, so its links are those of the root
            continue
        for target in [*page.links, *page.fetched]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                foreign += [f"{file.name}: {target}"] if target in page.fetched and parts.scheme != "data" else []
                continue
            path = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            path = path / "index.html" if path.is_dir() else path
            anchor = unquote(parts.fragment)
            if not path.exists() or (path in pages and anchor not in pages[path].anchors):
                broken.append(f"{file.name}: {target}")
    assert broken == []
    assert foreign == []
    for file in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", file.read_text("utf-8")), file.name


@pytest.mark.slow
def test_python_reference_has_every_public_name(site: Path) -> None:
    page = Page(site / "python-reference.html")
    wanted = {name.lower() for name in mmsearch.__all__ if callable(getattr(mmsearch, name))}
    assert wanted - page.anchors - {"pathlike"} == set()
    assert {"librarysearch", "libraryitems", "libraryas_retriever"} <= page.anchors
