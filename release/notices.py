"""The licences of all that an installed mmsearch brings along: python release/notices.py [EXTRA…] > notices.txt

Run with the Python that has it installed.  Packages are those that mmsearch asks for, and what these ask for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

LONGEST = 60  # characters of a licence's name: some put the whole text there


def needed_by(name: str, extras: Sequence[str] = ()) -> list[metadata.Distribution]:
    """The packages that one needs here, and those that these need, by name; without itself."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(name, tuple(extras))]
    asked = set(waiting)
    while waiting:
        one, own = waiting.pop()
        try:
            package = metadata.distribution(one)
        except metadata.PackageNotFoundError:  # it may be one of several that would do
            continue
        found[_plain(one)] = package
        for text in package.requires or ():
            wanted = Requirement(text)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *own)):
                key = (_plain(wanted.name), tuple(sorted(wanted.extras)))
                if key not in asked:
                    asked.add(key)
                    waiting.append(key)
    found.pop(_plain(name), None)
    return [found[one] for one in sorted(found)]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(package: metadata.Distribution) -> str:
    """The name of a package's licence: its SPDX expression, what it calls it, or its classifiers."""
    said = package.metadata
    for name in ("License-Expression", "License"):
        if name in said and 0 < len(said[name]) <= LONGEST and "\n" not in said[name]:
            return str(said[name])
    classified = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or () if one.startswith("License ::")]
    return ", ".join(classified) or "not said"


def texts(package: metadata.Distribution) -> Iterator[str]:
    """The texts of licences and notices that a package brings."""
    for file in package.files or ():
        name = file.name.upper()
        if name.startswith(("LICEN", "NOTICE", "COPYING")) and ".dist-info" in str(file):
            yield Path(str(file.locate())).read_text("utf-8", "replace")


def notices(extras: Sequence[str] = ()) -> Iterator[str]:
    """The file, piece by piece."""
    yield "Packages that mmsearch is installed with, and their licences.  Its own: LICENSE and NOTICE.\n"
    packages = needed_by("mmsearch", extras)
    for package in packages:
        yield f"{package.metadata['Name']} {package.version}: {licence(package)}\n"
    for package in packages:
        yield f"\n{'=' * 80}\n{package.metadata['Name']} {package.version}: {licence(package)}\n\n"
        yield from (text.rstrip() + "\n" for text in texts(package))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.writelines(notices(sys.argv[1:]))
