"""The light way in one process: ``python light_here.py FOLDER CACHE``, with the environment of ``Light(FOLDER)``.

To start a process for each command takes much of the time of the way, and to encode the texts of tags, which CACHE
has, most of the rest.  The server is a process still.  That each command works in a process of its own, and without
that cache, is seen where the packages are really not there (``make light-test``).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import in_process
from light_run import HEAVY, Light


class Here(Light):
    """Commands in this process."""

    def call(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return in_process.call(arguments, self.environment, self.folder)


if __name__ == "__main__":
    assert [sys.modules.get(name, sys) for name in HEAVY] == [None] * len(HEAVY), "there is no guard"
    light = Here(Path(sys.argv[1]))
    light.environment["MMSEARCH_CACHE"] = sys.argv[2]
    light.whole()
