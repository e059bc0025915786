"""All benchmarks of speed, one after the other, and their figures as tables at the end of ``docs/performance.md``.

    python -m benchmarks.bench --photos DIR [--rows 10000,100000,1000000] [--only cold_start,decoding]

The photos are indexed into a library that the others use.  What each benchmark prints is kept in ``build/bench``; with
``--only`` the tables of the others are made from what is there.  A million rows take half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from mmsearch.config import Settings
from mmsearch.library.opening import open_library

KEPT = Path("build/bench")
PAGE = Path("docs/performance.md")
MARK = "<!-- Below: made by `make bench` -->\n"


def commands(photos: Path, rows: list[int]) -> dict[str, list[str]]:
    """Name -> module and arguments."""
    library = str(KEPT / "library")
    found = {
        "cold_start": ["cold_start", "--library", library],
        "encoding": ["encoding"],
        "indexing": ["indexing", "--photos", str(photos)],
        "decoding": ["decoding"],
        "rerank_latency": ["rerank_latency", "--images", str(photos), "--library", library],
    }
    for count in rows:
        kinds = "exact"
        if count > 10_000:
            few = count < 1_000_000  # a graph takes long above
            kinds += ",ivf-rabitq,ivf-rabitq4" + (",ivf-sq8,hnsw" if few else "")
        folder = ["--folder", str(KEPT / f"rows-{count}"), "--rows", str(count), "--library", library]
        found[f"index_kinds_{count}"] = ["index_kinds", *folder, "--kinds", kinds]
    return found


def tables(names: list[str]) -> Iterator[str]:
    """Each benchmark that has run: its figures, one line a group."""
    for name in names:
        file = KEPT / f"{name}.json"
        if not file.exists():
            continue
        facts = json.loads(file.read_text("utf-8"))
        machine, versions, day = (facts.pop(key) for key in ("machine", "versions", "day"))
        facts.pop("benchmark")
        yield f"### {name}\n\n| | |\n|---|---|\n"
        yield from (f"| {group} | {_told(value)} |\n" for group, value in facts.items())
        told = ", ".join(f"{package} {number}" for package, number in versions.items())
        yield f"\n{day}, {machine['cores']} cores of {machine['processor']}, Python {machine['python']}, {told}\n\n"


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{name} ({_told(inner)})" if isinstance(inner, dict) else f"{name} {_told(inner)}"
            for name, inner in value.items()
        )
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--only", help="names of benchmarks to run, with commas between them")
    given = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    with open_library(KEPT / "library", settings=Settings()) as library:
        library.index(given.photos)
    every = commands(given.photos, [int(count) for count in given.rows.split(",")])
    for name, command in every.items():
        if given.only and name not in given.only.split(","):
            continue
        print(name, file=sys.stderr)
        run = [sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]]
        done = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True)
        facts = {**json.loads(done.stdout.splitlines()[-1]), "day": date.today().isoformat()}
        (KEPT / f"{name}.json").write_text(json.dumps(facts) + "\n", "utf-8")
        shutil.rmtree(KEPT / f"rows-{name.rpartition('_')[2]}", ignore_errors=True)
    page = PAGE.read_text("utf-8")
    PAGE.write_text(page.partition(MARK)[0] + MARK + "\n" + "".join(tables(list(every))).rstrip() + "\n", "utf-8")


if __name__ == "__main__":
    main()
