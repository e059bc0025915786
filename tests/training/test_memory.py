"""Freed memory stays with the process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

GLIBC = platform.libc_ver()[0] == "glibc"

# Resident memory in kB after 400 MB were touched and freed.
SCRIPT = """
import sys
import numpy as np
from mmsearch.training.common import memory
if sys.argv[1] == "keep":
    assert memory.keep_freed()
block = np.ones(50_000_000)
del block
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


@pytest.mark.skipif(not GLIBC, reason="asks glibc")
def test_freed_memory_is_kept_only_when_asked_for() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    def resident(how: str) -> int:
        command = [sys.executable, "-c", SCRIPT, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=bare)
        return int(done.stdout)

    assert resident("keep") - resident("plain") > 300_000
