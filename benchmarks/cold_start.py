"""A cold ``mmsearch query --json``: median wall time, where it goes, and what importing torch and open_clip would cost.

python -m benchmarks.cold_start --library DIR [--query "a dog running on a beach"] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import report

PHASES = """
import json, sys, time
start = time.perf_counter()
from mmsearch.cli import app
from mmsearch.cli.options import opened
from pathlib import Path
marks = {"imports of the command line": time.perf_counter()}
import mmsearch.library
marks["imports of the library"] = time.perf_counter()
with opened(Path(sys.argv[1])) as library:
    stored = library.store.model()
    marks["open the database"] = time.perf_counter()
    library.vectors.refresh(stored)
    marks["load the index"] = time.perf_counter()
    library.encoder(stored).encode_texts([sys.argv[2]])
    marks["load the text encoder and encode"] = time.perf_counter()
    library.search(sys.argv[2])
    marks["search"] = time.perf_counter()
times = [start, *marks.values()]
print(json.dumps({name: round(b - a, 3) for name, a, b in zip(marks, times, times[1:])}))
"""


def timed(command: list[str], runs: int) -> list[float]:
    """Wall seconds of each run, sorted; the first, which fills the disk cache, is left out."""
    seconds = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(round(time.perf_counter() - begun, 3))
    return sorted(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--query", default="a dog running on a beach")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    folder = str(given.library.absolute())
    command = [sys.executable, "-m", "mmsearch.cli", "query", "--json", "--library", folder, given.query]
    ours = timed(command, given.runs)
    theirs = timed([sys.executable, "-c", "import torch, open_clip"], given.runs)
    bare = timed([sys.executable, "-c", "pass"], given.runs)
    phases = subprocess.run(
        [sys.executable, "-c", PHASES, folder, given.query], check=True, capture_output=True, text=True
    ).stdout
    report(
        "cold_start",
        {
            "seconds": {"median": statistics.median(ours), "runs": ours},
            "python alone": statistics.median(bare),
            "import torch, open_clip": statistics.median(theirs),
            "ratio": round(statistics.median(theirs) / statistics.median(ours), 2),
            "phases": json.loads(phases),
        },
    )


if __name__ == "__main__":
    main()
