"""How long Ctrl-C takes: ``mmsearch index`` interrupted at random moments, and what it says.

    python tests/faults/interrupts.py --photos DIR [--tries 20]

Each try goes on where the one before stopped.  One JSON line: seconds from the signal to the end, exit codes, and how
many photos were kept; exit code 1 where a run took longer than 2 s, said nothing, or kept less than the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LONGEST = 2.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--tries", type=int, default=20)
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a signal that is ignored here would be ignored there
    rng = random.Random(0)
    took: list[float] = []
    kept: list[int] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "mmsearch.cli", "index", str(given.photos), "--library", f"{scratch}/library"]
        environment = {**os.environ, "HOME": scratch, "MMSEARCH_OFFLINE": "1"}
        for _ in range(given.tries):
            process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
            try:
                process.wait(rng.uniform(1.0, 4.0))
                break  # all is indexed
            except subprocess.TimeoutExpired:
                begun = time.monotonic()
                process.send_signal(signal.SIGINT)
            _, said = process.communicate()
            took.append(round(time.monotonic() - begun, 2))
            told = re.search(r"interrupted: ([\d,]+) photo", said)
            kept.append(int(told[1].replace(",", "")) if told else -1)
            if process.returncode != 130 or told is None or "Traceback" in said:
                wrong.append(f"{process.returncode}: {said[-200:]}")
    if took and (max(took) > LONGEST or kept != sorted(kept)):
        wrong.append("too slow, or something was lost")
    print(json.dumps({"tries": len(took), "median_s": statistics.median(took), "longest_s": max(took), "kept": kept,
                      "wrong": wrong[:3]}))  # fmt: skip
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
