"""Whether the checkout is what a tag says: python release/check.py v0.1.0

The version is the same in pyproject.toml, mmsearch/__init__.py and CITATION.cff; CHANGELOG.md has it with its day, and
nothing is left under [Unreleased].
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSIONS = {
    "pyproject.toml": r'^version = "(.*)"$',
    "mmsearch/__init__.py": r'^__version__ = "(.*)"$',
    "CITATION.cff": r"^version: (.*)$",
}


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """What keeps the checkout from being released under this tag, a sentence each."""
    version = tag.removeprefix("v")
    found = []
    for name, pattern in VERSIONS.items():
        said = re.findall(pattern, (root / name).read_text("utf-8"), re.MULTILINE)
        if said != [version]:
            found.append(f"{name} says version {', '.join(said) or 'nothing'}, the tag {version}")
    changes = (root / "CHANGELOG.md").read_text("utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        found.append(f"CHANGELOG.md has no heading '## [{version}] - YEAR-MONTH-DAY'")
    waiting = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changes, re.MULTILINE | re.DOTALL)
    if waiting is None or re.search(r"^- ", waiting[1], re.MULTILINE):
        found.append("CHANGELOG.md has entries under [Unreleased], or no such heading")
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python release/check.py TAG")
    if said := problems(sys.argv[1]):
        sys.exit("\n".join(said))
