"""Every command that may take more than a second says on stderr what it does, also where that is a pipe."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import typer.main
from samples import CLI, surroundings

from mmsearch.cli import progress_bar
from mmsearch.cli.app import app

OPENING = "Opening the library"
# Command -> its arguments, and what it says that it does.  The folder of the photos is ``photos``, its library is made.
COMMANDS: dict[str, tuple[list[str], set[str]]] = {
    "index": (["index", "photos"], {OPENING, "Indexing"}),
    "query": (["query", "a cat", "--copy-to", "copies"], {OPENING, "Searching", "Copying"}),
    "caption": (["caption", "photos/cat.png"], {OPENING, "Loading the model", "Captioning"}),
    "ask": (["ask", "photos/cat.png", "what is it?"], {OPENING, "Loading the model", "Looking"}),
    "explain": (["explain", "photos/cat.png", "a cat", "--json"], {OPENING, "Loading the model", "Looking"}),
    "imagine": (["imagine", "a cat", "--json"], {OPENING, "Imagining"}),
    "tag": (["tag"], {OPENING, "Tagging"}),
    "duplicates": (["duplicates"], {OPENING, "Comparing"}),
    "status": (["status"], {OPENING, "Counting"}),
    "reindex": (["reindex", "--prune"], {OPENING, "Dropping vectors"}),
    "doctor": (["doctor", "--no-speed"], {"Looking"}),
    "verify": (["verify", "--deep"], {OPENING, "Reading"}),
    "repair": (["repair", "--deep"], {OPENING, "Reading"}),
    "remove": (["remove", "photos/trips"], {OPENING, "Counting", "Forgetting"}),
    "backup": (["backup", "file"], {OPENING, "Backing up"}),
    "restore": (["restore", "kept", "--library", "other"], {OPENING, "Restoring"}),
    "export": (["export", "exported"], {OPENING, "Exporting"}),
    "import": (["import", "earlier", "--library", "other"], {OPENING, "Importing"}),
    "calibrate": (["calibrate", "--captions", "captions.tsv"], {OPENING, "Calibrating"}),
    "models": (["models"], {"Looking for models"}),
    "eval": (
        ["eval", "--captions", "captions.tsv", "--images", "photos", "--model", "embedded"],
        {"Loading the model", "Encoding"},
    ),
}
ELSEWHERE = {  # why a command is not run here
    "cluster index": "what it says is what index says",
    "train": "what it says is in test_train_progress.py",
    "train-reranker": "as train",
    "watch": "it runs until it is stopped; each of its runs says what index says",
    "serve": "it runs until it is stopped, and says where it listens before models are loaded",
    "mcp": "as serve",
    "map": "it wants more photos than there are here: tests/manage/test_map.py",
    "completion": "it prints a text at once",
    "cluster import": "it wants a server: tests/cluster/test_moving_commands.py",
    "cluster export": "as cluster import",
    "cluster reconcile": "as cluster import",
}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of work says once, at its end, what it would say each ten seconds."""

    @contextmanager
    def pulsing(pulse: Callable[[], None]) -> Iterator[None]:
        try:
            yield
        finally:
            pulse()

    monkeypatch.setattr(progress_bar, "EVERY", 0.0)
    monkeypatch.setattr(progress_bar, "pulsing", pulsing)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does(name: str, mmsearch: CLI, photos: Path, tmp_path: Path, tag_cache: Path) -> None:
    if name not in ("models", "eval"):
        mmsearch("index", photos)
    if name == "restore":
        mmsearch("backup", "kept")
    if name == "import":
        mmsearch("export", "earlier")
    captions = [f"{file.name}\ta photo of {file.stem}\n" for file in sorted(photos.rglob("*.*"))]
    (tmp_path / "captions.tsv").write_text("".join(captions), "utf-8")
    arguments, wanted = COMMANDS[name]
    code = 1 if name == "calibrate" else 0  # 200 captions are wanted
    said = mmsearch(*arguments, check=code, MMSEARCH_CACHE=str(tag_cache)).stderr
    assert {what for what in wanted if not any(line.startswith(f"{what}: ") for line in said.splitlines())} == set()


def test_no_command_is_left_out() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(COMMANDS) | set(ELSEWHERE) == commands
    assert set(COMMANDS) & set(ELSEWHERE) == set()


def test_a_bar_on_a_terminal_leaves_standard_output_alone(photos: Path, tmp_path: Path) -> None:
    own, its = pty.openpty()
    command = [sys.executable, "-m", "mmsearch.cli", "caption", "--json", *map(str, photos.glob("*.png"))]
    environment = {**surroundings(tmp_path, {}), "TERM": "xterm"}
    with (tmp_path / "out").open("wb") as out:
        program = subprocess.Popen(command, env=environment, stdout=out, stderr=its)
    os.close(its)
    with suppress(OSError):  # as Linux says that the other end is closed
        while os.read(own, 65536):
            pass
    os.close(own)
    assert program.wait() == 0
    lines = (tmp_path / "out").read_text("utf-8").splitlines()
    assert len([json.loads(line)["caption"] for line in lines]) == 3


def test_a_terminal_gets_a_spinner_after_a_second(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import time

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress_bar, "SHORT", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar.working("Searching"):
        time.sleep(0.5)
    assert "Searching" in capfd.readouterr().err
    monkeypatch.setattr(progress_bar, "SHORT", 60.0)
    with progress_bar.working("Searching"):
        pass
    assert capfd.readouterr().err == ""
