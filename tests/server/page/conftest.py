"""A browser, the library that it looks at, and pages that may not complain or ask another machine for anything."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import page_library
import pytest
from page_browsing import Heard
from shared import made_once

from mmsearch.encoders.onnx.encoder import OnnxEncoder

# Without a window, first: it takes a seventh less of a processor's time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SECONDS = 20_000  # milliseconds that something may take on a busy machine


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser; skips where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    return CHROMIUM


@pytest.fixture(scope="session")
def shown_photos(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the photos; no test changes it."""
    return made_once(tmp_path_factory, "page_photos", page_library.photos)


@pytest.fixture(scope="session")
def shown_library(shown_photos: Path, tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Path:
    """A library of them, which tests tag."""
    make = partial(page_library.library, of=shown_photos, encoder=encoder)
    made = made_once(tmp_path_factory, "page_library", make)
    return shutil.copytree(made, tmp_path_factory.mktemp("page") / "library")


@pytest.fixture(scope="module")
def address(shown_library: Path, tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Iterator[str]:
    with page_library.served(shown_library, tmp_path_factory.mktemp("cache"), encoder) as found:
        yield found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """One for each file of tests: as long as it is open, no event loop can run in this thread."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=SECONDS)
    with sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def serving(tmp_path: Path, encoder: OnnxEncoder) -> Iterator[Callable[..., str]]:
    """Starts a server of a library and gives its address; it goes on until the pages that look at it are closed."""
    with ExitStack() as servers:

        def serve(library: Path, cache: Path | None = None, read_only: bool = False) -> str:
            return servers.enter_context(page_library.served(library, cache or tmp_path / "cache", encoder, read_only))

        yield serve


@pytest.fixture
def opened(browser: Any, heard: Heard, serving: Callable[..., str]) -> Iterator[Any]:
    """Opens pages; at the end none may have complained, nor asked another machine for anything."""
    contexts = []

    def said(message: Any) -> None:
        if message.type in ("error", "warning"):
            heard.complaints.append(message.text)

    def asked(dialog: Any) -> None:
        heard.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def listen(page: Any) -> None:
        page.on("console", said)
        page.on("pageerror", lambda error: heard.complaints.append(str(error)))
        page.on("dialog", asked)
        page.on("request", lambda request: heard.hosts.add(request.url.split("/")[2] if "//" in request.url else ""))

    def open_page(url: str, query: str = "", **options: Any) -> Any:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "accept_downloads": True, **options}
        )
        contexts.append(context)
        context.on("page", listen)
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.goto(url)
        page.wait_for_url(re.compile(r"/$"))
        if query:
            page.goto(url.split("?")[0] + query)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert heard.left() == []
    assert {host.split(":")[0] for host in heard.hosts} <= {"127.0.0.1", ""}


@pytest.fixture
def page(opened: Any, address: str) -> Any:
    shown = opened(address)
    shown.locator(".tile").first.wait_for()
    return shown
