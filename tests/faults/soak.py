"""Hundreds of runs of ``mmsearch index`` that are killed, at random moments and at named points.

    python tests/faults/soak.py [--kills 500] [--encodes 20000] [--seed 0] [--folder DIR]

The folder of pictures changes between the runs.  After each kill the library is opened: it must be in order, every
committed photo must be found, and the nearest vectors must be those that NumPy finds in SQLite.  Some runs go to their
end; the run after it must find nothing to do.  No content may be encoded that was stored before.  One JSON line; exit
code 1 where anything was lost or wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from checked import check, encodes
from drawn_photos import Folder
from killed import POINTS

from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.library.opening import open_library

KILLED = Path(__file__).parent.parent / "killed.py"
GROWS = 60  # photos added before a run
KEPT = 500  # photos in the folder at most
WHOLE = 8  # of so many runs one goes to its end
AT_RANDOM = 0.5  # share of kills at a random moment; the others are at a named point
LONGEST = 4.0  # seconds


class Soak:
    def __init__(self, place: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = Folder(place / "photos", seed)
        self.library = place / "library"
        self.encoder = factory.embedded()
        self.settings = replace(Settings(), library=self.library, cache=place / "cache", reranker="none")
        self.kills: Counter[str] = Counter()
        self.encodes = self.whole = 0
        self.lost: list[str] = []
        self.wrong: list[str] = []
        home = place / "home"
        home.mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MMSEARCH_")}
        self.environment = {**kept, "HOME": str(home), "MMSEARCH_OFFLINE": "1", "MMSEARCH_BATCH": "8"}

    def run(self) -> None:
        """One change of the folder and one run, killed or whole."""
        self.folder.change(KEPT)
        self.folder.grow(GROWS)
        before = encodes(self.library)
        command = ["index", str(self.folder.place), "--library", str(self.library), "--json"]
        if self.random.random() < 1 / WHOLE:
            self._whole(command, before)
        elif self.random.random() < AT_RANDOM:
            self._at_random(command)
        else:
            self._at_a_point(command)
        self.encodes += encodes(self.library) - before
        self._check()

    def _start(self, command: list[str], point: str = "never", count: int = 0) -> subprocess.Popen[bytes]:
        whole = [sys.executable, str(KILLED), point, str(count), *command]
        return subprocess.Popen(whole, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _whole(self, command: list[str], before: int) -> None:
        process = self._start(command)
        told, said = process.communicate()
        if process.returncode:
            self.wrong.append(f"a whole run ended with {process.returncode}: {said[-300:]!r}")
            return
        self.whole += 1
        report = json.loads(told)
        stored = encodes(self.library) - before
        if report["encoded"] != stored:
            self.wrong.append(f"{report['encoded']} pictures were encoded, {stored} of them were new")
        again, _ = self._start(command).communicate()
        report = json.loads(again)
        if report["added"] or report["updated"] or report["moved"] or report["removed"]:
            self.wrong.append(f"a run after a whole one found something to do: {report}")

    def _at_random(self, command: list[str]) -> None:
        process = self._start(command)
        try:
            process.wait(self.random.uniform(0.05, LONGEST))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        self._ended(process, "at random")

    def _at_a_point(self, command: list[str]) -> None:
        point = self.random.choice(POINTS)
        count = self.random.randint(1, 12 if "commit" in point else 3)
        process = self._start(command, point, count)
        self._ended(process, point)

    def _ended(self, process: subprocess.Popen[bytes], how: str) -> None:
        _, said = process.communicate()
        if process.returncode == -signal.SIGKILL:
            self.kills[how] += 1
        elif process.returncode:
            self.wrong.append(f"a run ended with {process.returncode}: {said[-300:]!r}")

    def _check(self) -> None:
        if not (self.library / "library.sqlite").exists():
            return
        with open_library(self.library, settings=self.settings, encoder=self.encoder) as library:
            if library.store.model() is None:
                return
            lost, wrong = check(library, self.random.randrange(10**6))
        self.lost += lost
        self.wrong += wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--encodes", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where it works; default: a temporary folder")
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        soak = Soak(given.folder or Path(scratch), given.seed)
        while soak.kills.total() < given.kills or soak.encodes < given.encodes:
            soak.run()
            if soak.lost or soak.wrong:
                print(soak.lost[:3], soak.wrong[:3], file=sys.stderr, flush=True)
            print(f"\r{soak.kills.total()} kills, {soak.encodes} encodes ", end="", file=sys.stderr, flush=True)
    facts: dict[str, Any] = {
        "kills": soak.kills.total(), "by point": dict(sorted(soak.kills.items())), "whole runs": soak.whole,
        "encodes": soak.encodes, "lost": len(soak.lost), "wrong": len(soak.wrong),
        "first": [*soak.lost[:3], *soak.wrong[:3]], "minutes": round((time.monotonic() - begun) / 60, 1),
    }  # fmt: skip
    print()
    print(json.dumps(facts))
    sys.exit(1 if soak.lost or soak.wrong else 0)


if __name__ == "__main__":
    main()
