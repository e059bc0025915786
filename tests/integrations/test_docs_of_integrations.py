"""The examples of docs/integrations.md run, one after the other, and print what stands below them."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

from mmsearch.library.library import Library

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*Pydantic.*")
def test_python_of_the_page_runs(library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    library.index("photos")
    page = (ROOT / "docs" / "integrations.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == page.count("```python")
    names: dict[str, object] = {"library": library, "os": os}
    said = []
    for code, _ in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "docs/integrations.md", "exec"), names)
        said.append(printed.getvalue())
    assert said == [output for _, output in blocks]
