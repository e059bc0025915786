"""``mmsearch tag`` on the real command line, with the embedded model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from samples import CLI, interruptible

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.ingest.enrich.tags import THRESHOLD
from mmsearch.language.vocabulary import builtin, read
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def run(mmsearch: CLI, tag_cache: Path) -> Run:
    """The command line with a cache in which the sentences are encoded already."""

    def with_cache(*arguments: str | Path, check: int | None = 0) -> CompletedProcess[str]:
        return mmsearch(*arguments, check=check, MMSEARCH_CACHE=str(tag_cache))

    return with_cache


@pytest.fixture
def tagged(settings: Settings, encoder: OnnxEncoder, tag_cache: Path) -> Iterator[Library]:
    settings = replace(settings, cache=tag_cache)
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        yield library


def test_tags_are_counted_listed_and_forgotten(run: Run, photos: Path, tagged: Library) -> None:
    run("index", photos, "--no-regions")
    done = run("tag")
    assert done.stderr.splitlines()[0].startswith("5 pictures tagged in ")
    counts = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    tags = json.loads(run("tag", "--list", "--json").stdout)["tags"]
    assert [[str(files), tag] for tag, files in tags.items()][: len(counts)] == counts
    assert len(counts) == min(len(tags), 20)
    tagged.index(photos)
    assert tagged.tag().tags == tags
    trips = run("tag", "--list", photos / "trips").stdout.splitlines()
    assert trips == [f"{files}  {tag}" for tag, files in tagged.tags(photos / "trips").items()]
    assert json.loads(run("tag", "--clear", photos / "trips", "--json").stdout) == {"cleared": 2}
    again = json.loads(run("tag", "--json").stdout)
    assert (again["tagged"], again["tags"]) == (2, tags)
    assert run("tag", "--clear").stderr == "tags of 5 pictures forgotten\n"


def test_pictures_are_found_by_their_tags(run: Run, photos: Path) -> None:
    run("index", photos, "--no-regions")
    run("tag")
    for query in ("tag:VEHICLE", "words:vehicles", "tag:motorcycle -tag:snow"):
        assert run("query", query, "--paths").stdout.splitlines() == [str(photos / "trips" / "motorcycle.png")], query
    assert run("query", "tag:snow", "--paths").stdout == ""
    hits = [json.loads(line) for line in run("query", "vehicle", "--json", "--min-relevance", "0").stdout.splitlines()]
    assert any(reason.startswith("tag: ") and "vehicle" in reason for reason in hits[0]["reasons"])
    assert "vehicle" in hits[0]["tags"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_while_the_vocabulary_is_encoded(run: Run, photos: Path, tmp_path: Path) -> None:
    run("index", photos, "--no-regions")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MMSEARCH_", "XDG_", "ORT_"))}
    environment = {**kept, "HOME": str(tmp_path / "home"), "MMSEARCH_OFFLINE": "1"}
    with interruptible():
        running = subprocess.Popen(
            [sys.executable, "-m", "mmsearch.cli", "tag"], env=environment, stderr=subprocess.PIPE, text=True
        )
    assert running.stderr is not None
    assert running.stderr.readline().startswith("encoding ")
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, "interrupted: nothing is lost; run the same command again to go on\n")
    assert json.loads(run("tag", "--json").stdout)["tagged"] == 5


def test_a_vocabulary_of_ones_own(run: Run, photos: Path, tmp_path: Path) -> None:
    run("index", photos / "trips", "--no-regions")
    file = tmp_path / "words.tsv"
    file.write_text(run("tag", "--print-vocabulary").stdout, "utf-8")
    assert read(file) == builtin()
    file.write_text("motorbike\ta motorcycle\tmachine\nmachine\nhot air balloon\n", "utf-8")
    found = json.loads(run("tag", "--vocabulary", file, "--json").stdout)
    assert (found["tagged"], found["tags"]) == (2, {"machine": 1, "motorbike": 1})
    assert json.loads(run("tag", "--vocabulary", file, "--threshold", "1", "--json").stdout)["tags"] == {}
    file.write_text("cat\n\ncat\n", "utf-8")
    failed = run("tag", "--vocabulary", file, check=1)
    assert failed.stderr == f"mmsearch: {file}, line 3: the tag 'cat' stands in line 1 already; remove one\n"
    assert "cannot be read: No such file or directory" in run("tag", "--vocabulary", "none", check=1).stderr


def test_wrong_usage(run: Run, photos: Path) -> None:
    assert "there is no library in" in run("tag", check=1).stderr
    run("index", photos / "cat.png", "--no-regions")
    assert "exclude each other" in run("tag", "--list", "--clear", check=2).stderr
    assert "go without --vocabulary and --threshold" in run("tag", "--list", "--threshold", "0.5", check=2).stderr
    run("tag", "--threshold", "1.1", check=2)
    assert "no picture of the library lies there" in run("tag", photos / "none", check=1).stderr


def test_help_says_the_threshold(run: Run) -> None:
    assert f"Default: {THRESHOLD}." in " ".join(run("tag", "--help").stdout.split())


def test_own_tags_are_given_and_taken(run: Run, photos: Path, tmp_path: Path) -> None:
    run("index", photos, "--no-regions")
    done = run(
        "tag", "--add", "grandma's  birthday", "--add", "Ætna", "--remove", "x", photos / "trips", photos / "cat.png"
    )
    assert (done.stdout, done.stderr) == ("", "3 photos of 3 changed: 6 tags given, 0 taken\n")
    changed = json.loads(
        run("tag", "--add", "ÆTNA", "--remove", "Grandma's birthday", photos / "cat.png", "--json").stdout
    )
    assert changed == {"photos": 1, "changed": 1, "added": 0, "removed": 1}
    assert run("tag", "--list").stdout.splitlines() == ["3  Ætna", "2  grandma's birthday"]
    found = run("query", 'tag:"grandma\'s birthday"', "type:png", "--json").stdout
    assert json.loads(found)["own_tags"] == ["grandma's birthday", "Ætna"]
    assert run("query", "-tag:ætna", "--paths").stdout.splitlines().count(str(photos / "cat.png")) == 0
    run("tag", "--clear")
    assert json.loads(run("tag", "--list", "--json").stdout) == {"tags": {"Ætna": 3, "grandma's birthday": 2}}
    forgotten = json.loads(run("remove", photos / "trips", "--json").stdout)
    assert (forgotten["removed"], forgotten["tagged"]) == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--add", "x"], "name files or folders"),
        (["--add", "x", "--list", "."], "alone"),
        (["--remove", "x", "--threshold", "0.5", "."], "alone"),
        (["--add", "a,b", "."], "has a comma"),
        (["--add", " ", "."], "no letter, digit or sign"),
        (["--add", "a\nb", "."], "several lines"),
        (["--add", "Dog", "--remove", "dog", "."], "another tag than those of add"),
    ],
)
def test_own_tags_that_make_no_sense_are_wrong_usage(run: Run, photos: Path, arguments: list[str], says: str) -> None:
    done = run("tag", *arguments, check=2)
    assert says in " ".join(done.stderr.replace("│", " ").split())
