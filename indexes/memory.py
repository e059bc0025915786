"""How much memory there is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def half_of_memory() -> int | None:
    """Half of the memory that this process may take, in bytes; None where the system does not say."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no such thing on Windows
        return None
    return min(machine, _limit() or machine) // 2


def _limit() -> int | None:
    """What the control group of this process allows, as for a container; None where it sets no limit."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text("ascii").splitlines()]
    except (OSError, ValueError):  # not on Linux
        return None
    files = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]  # in a container
    for _, controllers, place in groups:
        if not controllers:
            files.append(Path(f"/sys/fs/cgroup{place}/memory.max"))
        elif "memory" in controllers.split(","):
            files.append(Path(f"/sys/fs/cgroup/memory{place}/memory.limit_in_bytes"))
    limits = []
    for file in files:
        with contextlib.suppress(OSError, ValueError):  # there is none, or it says "max"
            limits.append(int(file.read_text("ascii")))
    return min(limits, default=None)
