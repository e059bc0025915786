"""Plain queries as searches answer them: two checkouts, each with its own code, model and defaults.

    python -m benchmarks.searched --data MIXTURE --before CHECKOUT

``MIXTURE`` is the folder that ``python -m mmsearch.training.shipped.mixture`` makes; queries, photos and grades are
those of ``benchmarks.plain_queries``.  Each checkout indexes the photos into a library of its own, under numbers
instead of their names, which say what they show, and searches it for each query with what it does by default: hubness
correction, the adapter of short texts, the second look.  ``plain_queries`` judges vectors alone.

Mean average precision in percent with a 95 % interval, bootstrap over queries, and the difference query by query.  One
JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from benchmarks.plain_queries import KINDS, graded, interval, judged_photos, read_grades, read_queries, score

HERE = Path(__file__).parent.parent
SEARCHES = """
import json, sys
from pathlib import Path
from mmsearch import open_library

folder, photos, queries = json.load(sys.stdin)
with open_library(folder) as library:
    library.index([photos])
    found = [[int(Path(hit.path).stem) for hit in library.search(query, k=100_000)] for query in queries]
json.dump(found, sys.stdout)
"""


def searched(checkout: Path, library: Path, photos: Path, queries: Sequence[str]) -> list[list[int]]:
    """The numbers of the photos that a checkout finds for each query, best first."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "MMSEARCH_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SEARCHES], input=json.dumps([str(library), str(photos), queries]), env=environment,
        cwd=checkout, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: list[list[int]] = json.loads(done.stdout)
    return found


def scores(found: Sequence[int], photos: int) -> NDArray[np.float32]:
    """Falling from the first that was found; 0 for photos that were not found."""
    made = np.zeros(photos, np.float32)
    made[found] = 1 / np.arange(1, len(found) + 1)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the project")
    given = parser.parse_args()
    queries, captions = read_queries(), judged_photos(given.data)
    grades, kinds = graded(queries, captions, read_grades()), np.array([query.kind for query in queries])
    precision: dict[str, NDArray[np.float64]] = {}
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        photos = Path(work) / "photos"
        photos.mkdir()
        for number, name in enumerate(captions):
            shutil.copyfile(given.data / "images" / name, photos / f"{number}{Path(name).suffix}")
        for which, checkout in (("before", given.before), ("now", HERE)):
            found = searched(checkout.resolve(), Path(work) / which, photos, [query.text for query in queries])
            both = [score(scores(own, len(captions)), right) for own, right in zip(found, grades, strict=True)]
            precision[which] = np.array(both)[:, 0]
            figures[which] = {
                "mAP": round(float(precision[which].mean()), 2),
                "interval": interval(precision[which]),
                "P@5": round(float(np.array(both)[:, 1].mean()), 2),
                "kinds": {kind: round(float(precision[which][kinds == kind].mean()), 2) for kind in KINDS},
            }
    change = precision["now"] - precision["before"]
    figures["difference"] = {"mAP": round(float(change.mean()), 2), "interval": interval(change)}
    report("searched", {"queries": len(queries), "photos": len(captions), **figures})


if __name__ == "__main__":
    main()
