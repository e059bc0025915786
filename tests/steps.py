"""All tests in one run: ``python tests/steps.py``; or the ``quick`` ones alone, or those marked ``slow``.

They run on a process a core and one more, each on one thread: many tests wait for a clock, and leave their core to
others.  Who is free takes the next file (``sharing.py``).  What tests write goes into memory
where there is a file system of it with much room, which takes a quarter of the time away; it is deleted at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree

STEPS = {"all": [], "quick": ["-m", "not slow"], "slow": ["-m", "slow"]}

IN_MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30  # bytes; much less is used at a time
SLOWEST = 12  # files whose seconds are told
PROCESS = 5 * 2**30  # bytes of memory that one process may come to take, with what it starts
# Of glibc: freed memory stays with the process.  To get it anew, page by page, takes time.
KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_TOP_PAD_": str(2**26),
}


def processes() -> int:
    """How many run tests side by side: a core and one more, as far as there is memory for them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return cores
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(cores + 1, memory // PROCESS))


def surroundings() -> dict[str, str]:
    """The environment: what is imported is compiled once, and not in each of the hundreds of processes of the tests."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **KEPT_MEMORY, "OMP_NUM_THREADS": "1"}


def folder_for_tests() -> tempfile.TemporaryDirectory[str]:
    """Where tests write."""
    roomy = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ROOM
    return tempfile.TemporaryDirectory(
        prefix="mmsearch-tests-", dir=IN_MEMORY if roomy else None, ignore_cleanup_errors=True
    )


def run(options: list[str], folder: Path) -> tuple[int, Counter[str], dict[str, float]]:
    """One step: pytest's exit code, how many tests ended in which way, and the seconds of each file."""
    report = folder / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        str(processes()),
        "--dist=loadgroup",
        *options,
        f"--junit-xml={report}",
        f"--basetemp={folder / 'tests'}",
    ]
    code = subprocess.run(command, env=surroundings(), check=False).returncode
    counts, seconds = Counter[str](), defaultdict[str, float](float)
    if report.exists():
        for suite in ElementTree.parse(report).iter("testsuite"):
            ended = Counter({name: int(suite.get(name, 0)) for name in ("failures", "errors", "skipped")})
            counts.update(ended, passed=int(suite.get("tests", 0)) - ended.total())
            for test in suite.iter("testcase"):
                seconds[test.get("classname", "")] += float(test.get("time", 0))
        report.unlink()
    return code, counts, seconds


def main() -> int:
    begun, counts, seconds, codes = time.monotonic(), Counter[str](), defaultdict[str, float](float), []
    with folder_for_tests() as folder:
        for name in sys.argv[1:] or ["all"]:
            print(f"{name} tests", flush=True)
            code, found, took = run(STEPS[name], Path(folder))
            codes.append(code)
            counts += found
            for file, spent in took.items():
                seconds[file] += spent
    slowest = [f"{file} {seconds[file]:.0f}" for file in sorted(seconds, key=lambda file: -seconds[file])[:SLOWEST]]
    print(f"of {sum(seconds.values()):.0f} s of all processes together, the most: {', '.join(slowest)}")
    words = {"failures": "failed", "errors": "errors", "passed": "passed", "skipped": "skipped"}
    told = ", ".join(f"{counts[key]} {word}" for key, word in words.items() if counts[key])
    print(f"=== {told or 'no tests ran'} in {time.monotonic() - begun:.0f}s ===")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
