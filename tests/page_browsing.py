"""What tests do with a page, and what they ask of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

OF_COLOURS = ("color-contrast", "link-in-text-block")  # the rules of axe that look at them


@dataclass
class Heard:
    """What a page asked for and complained of."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    expected: list[str] = field(default_factory=list)  # parts of complaints that a test provokes

    def left(self) -> list[str]:
        return [text for text in self.complaints if not any(part in text for part in self.expected)]


def find(page: Any, query: str) -> None:
    page.locator("#box").fill(query)
    page.locator("#box").press("Enter")
    page.wait_for_url(re.compile(r"[?&]q="), wait_until="commit")


def tile(page: Any, name: str) -> Any:
    return page.locator(".tile", has=page.get_by_role("img", name=re.compile(re.escape(name))))


def names(page: Any) -> list[str]:
    """The first photos, by what stands for them."""
    return page.locator(".tile img").evaluate_all("images => images.map(image => image.alt)")  # type: ignore[no-any-return]


def axe(page: Any, *rules: str) -> list[str]:
    """What a checker of accessibility finds wrong on the screen as it is, by these rules or by all that it knows."""
    checker = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    if page.evaluate("!window.axe"):
        page.evaluate(checker.AXE_SCRIPT)
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = page.evaluate("options => axe.run(options).then(({ violations }) => violations)", options)
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]
