"""Hostile and odd files through the real command line: each is found, skipped with a reason or passed over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostile import Corpus, make

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is told by POSIX systems only"),
]

# The peak of a child counts from its fork, so it is started by a small process.
LAUNCHER = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(done.returncode)
"""
PEAK = 1.5e9  # bytes


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    stdout: bytes
    stderr: str
    peak: int  # bytes of memory


def run(home: Path, *arguments: str) -> Ran:
    """The real command line with a library of its own in ``home``, on two reading threads."""
    home.mkdir(exist_ok=True)
    peak = home / "peak"
    ours = ("MMSEARCH_", "XDG_", "PYTHONWARNINGS", "ORT_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    own = {"HOME": str(home), "MMSEARCH_OFFLINE": "1", "MMSEARCH_DECODERS": "2", "MMSEARCH_RERANKER": "none"}
    command = [sys.executable, "-c", LAUNCHER, str(peak), sys.executable, "-m", "mmsearch.cli", *arguments]
    done = subprocess.run(command, env={**kept, **own}, cwd=home, capture_output=True, check=False, timeout=600)
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"), int(peak.read_text()) * unit)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make(tmp_path_factory.mktemp("hostile") / "corpus")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def indexed(corpus: Corpus, home: Path) -> Ran:
    return run(home, "index", "--model", "embedded", str(corpus.folder), "--json")


@pytest.fixture(scope="module")
def report(indexed: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(indexed.stdout)
    return found


def test_there_are_many_kinds(corpus: Corpus) -> None:
    ids = [case.id for case in corpus.cases]
    assert len(ids) == len(set(ids)) > 200


def test_it_ends_well_and_silently(indexed: Ran) -> None:
    said = "using the embedded model\npassed over: 2 drawings: see docs/formats.md\n"
    lines = indexed.stderr.splitlines(keepends=True)  # on a slow machine one of the progress comes each ten seconds
    assert (indexed.code, "".join(line for line in lines if not line.startswith("Indexing: "))) == (0, said)


def test_it_takes_little_memory(indexed: Ran) -> None:
    assert indexed.peak < PEAK


def test_what_cannot_be_read_is_listed_with_a_reason(corpus: Corpus, report: dict[str, Any]) -> None:
    assert {item["path"] for item in report["skipped"]} == corpus.paths("skipped")
    assert all(item["reason"].strip() and "\n" not in item["reason"] for item in report["skipped"])


def test_every_good_photo_is_found(corpus: Corpus, home: Path, indexed: Ran) -> None:
    found = run(home, "query", "--print0", "-k", "1000", "a photo")
    assert (found.code, found.stderr) == (0, "")
    paths = [os.fsdecode(path) for path in found.stdout.split(b"\0")[:-1]]
    assert len(paths) == len(set(paths))
    assert set(paths) == corpus.paths("found")


def test_the_next_run_has_nothing_to_do(corpus: Corpus, home: Path, report: dict[str, Any]) -> None:
    again = run(home, "index", str(corpus.folder), "--json")
    assert (again.code, again.stderr) == (0, "passed over: 2 drawings: see docs/formats.md\n")
    second = json.loads(again.stdout)
    assert (second["encoded"], second["added"], second["removed"]) == (0, 0, 0)
    assert second["unchanged"] == report["added"]
    assert sorted(item["path"] for item in second["skipped"]) == sorted(item["path"] for item in report["skipped"])
