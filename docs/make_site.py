"""Writes the pages of the site into build/pages, from docs/, README.md and the docstrings.  Run: make site

Links between files of the checkout become links between pages; what no page shows is an error.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import sys
from pathlib import Path

import mmsearch

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "pages"
OTHERS = {  # file of the checkout -> its page
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "code_of_conduct.md",
    "NOTICE": "notice.md",
    "LICENSE": "license.md",
    "mmsearch/encoders/weights/embedded/MODEL_CARD.md": "model-card.md",
    "mmsearch/rerank/weights/embedded/MODEL_CARD.md": "model-card-reranker.md",
}
PLAIN = {"NOTICE": "Notices", "LICENSE": "Licence"}  # no Markdown -> title
LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)]*)?\)")


def pages() -> dict[str, str]:
    """Every file that is a page or part of one -> its name in the site."""
    docs = {f"docs/{file.name}": file.name for file in sorted((ROOT / "docs").glob("*.*")) if file.suffix != ".py"}
    return {**docs, **OTHERS}


def page(name: str, known: dict[str, str]) -> str:
    """A file of the checkout as Markdown of the site."""
    text = (ROOT / name).read_text("utf-8")
    if name in PLAIN:
        return f"# {PLAIN[name]}\n\n```text\n{text.rstrip()}\n```\n"
    folder = os.path.dirname(name)

    def moved(found: re.Match[str]) -> str:
        there = os.path.normpath(os.path.join(folder, found[2]))
        if there not in known:
            sys.exit(f"{name}: no page shows {there}")
        return f"{found[1]}{known[there]}{found[3] or ''})"

    return LINK.sub(moved, text)


def reference() -> str:
    """All public names with their signatures and docstrings."""
    lines = ["# Python reference", "", "Everything that `import mmsearch` gives. Examples are run by tests.", ""]
    for name in mmsearch.__all__:
        value = getattr(mmsearch, name)
        if inspect.isclass(value):
            lines += [f"## {name}", "", *_documented(value)]
            own = [one for one in inspect.getmembers(value, callable) if not one[0].startswith("_")]
            if not issubclass(value, (Exception, str)):
                for method, function in own:
                    lines += [f"### {name}.{method}", "", *_signature(method, function), *_documented(function)]
        elif callable(value):
            lines += [f"## {name}", "", *_signature(name, value), *_documented(value)]
    return "\n".join(lines)


def _signature(name: str, function: object) -> list[str]:
    try:
        said = str(inspect.signature(function))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []
    return ["```python", f"{name}{said}".replace("(self, ", "(").replace("(self)", "()"), "```", ""]


def _documented(value: object) -> list[str]:
    """A docstring as Markdown: literals with one backtick, examples as code."""
    text = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    lines, example = [], False
    for line in text.splitlines():
        if line.startswith(">>>") and not example:
            lines += ["```pycon"]
            example = True
        if example and not line.strip():
            lines += ["```"]
            example = False
        lines.append(line if example else line.replace("``", "`").replace("<", "&lt;"))
    return [*lines, *(["```"] if example else []), ""]


def write(folder: Path = PAGES) -> None:
    """All pages, into a folder that is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    known = pages()
    for name, shown in known.items():
        if shown.endswith(".md"):
            (folder / shown).write_text(page(name, known), "utf-8")
        else:
            shutil.copyfile(ROOT / name, folder / shown)
    (folder / "python-reference.md").write_text(reference(), "utf-8")


if __name__ == "__main__":
    write()
