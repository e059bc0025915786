"""All tests in two steps, the quick ones and then those marked ``slow``: ``python tests/steps.py [STEP]``.

Each step runs on a process a core, each on one thread.  What tests write goes into memory where there is a file system
of it with much room, which takes a quarter of the time away; it is deleted at the end.  The last line counts the tests
of both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

# Quick tests of one file share what the file makes; the slow ones are few and long, so each goes to who is free.
STEPS = {"quick": ["-m", "not slow", "--dist", "loadfile"], "slow": ["-m", "slow", "--dist", "worksteal"]}

IN_MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30  # bytes; much less is used at a time


def folder_for_tests() -> tempfile.TemporaryDirectory[str]:
    """Where tests write."""
    roomy = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ROOM
    return tempfile.TemporaryDirectory(
        prefix="mmsearch-tests-", dir=IN_MEMORY if roomy else None, ignore_cleanup_errors=True
    )


def run(options: list[str], folder: Path) -> tuple[int, Counter[str]]:
    """One step: pytest's exit code, and how many tests ended in which way."""
    report = folder / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "auto",
        *options,
        f"--junit-xml={report}",
        f"--basetemp={folder / 'tests'}",
    ]
    code = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode
    counts: Counter[str] = Counter()
    if report.exists():
        for suite in ElementTree.parse(report).iter("testsuite"):
            ended = Counter({name: int(suite.get(name, 0)) for name in ("failures", "errors", "skipped")})
            counts.update(ended, passed=int(suite.get("tests", 0)) - ended.total())
        report.unlink()
    return code, counts


def main() -> int:
    begun, counts, codes = time.monotonic(), Counter[str](), []
    with folder_for_tests() as folder:
        for name in sys.argv[1:] or STEPS:
            print(f"{name} tests", flush=True)
            code, found = run(STEPS[name], Path(folder))
            codes.append(code)
            counts += found
    words = {"failures": "failed", "errors": "errors", "passed": "passed", "skipped": "skipped"}
    told = ", ".join(f"{counts[key]} {word}" for key, word in words.items() if counts[key])
    print(f"=== {told or 'no tests ran'} in {time.monotonic() - begun:.0f}s ===")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
