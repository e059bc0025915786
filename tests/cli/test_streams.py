"""What goes to people commands no terminal, and streams that are closed, full or ASCII stop nothing in silence."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import in_process
import pytest
from forked import forked
from samples import CLI, SAMPLES, surroundings

from mmsearch.cli import streams
from mmsearch.library.library import Library

ROOT = Path(__file__).parent.parent.parent
EVIL = "\x1b]0;owned\x07\x1b[31mred\x9b2J\r\u202e"  # title, colours, an erased screen, a line begun again, backwards
COMMANDS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae")
posix = pytest.mark.skipif(sys.platform == "win32", reason="such names and streams are POSIX's")


@pytest.fixture
def named(photos: Path) -> Path:
    """The photos, one with such a name, another with such a description, and a damaged one."""
    shutil.move(photos / "cat.png", photos / f"cat{EVIL}.png")
    (photos / "grass.txt").write_text(f"green {EVIL} grass", "utf-8")
    (photos / f"broken{EVIL}.png").write_bytes(b"nothing")
    return photos


RUNS = [
    ["index", "FOLDER"],
    ["index", "FOLDER", "--exclude", f"*{EVIL}"],
    ["index", f"nothing{EVIL}"],
    ["query", "a cat"],
    ["query", f"a cat {EVIL}"],
    ["query", "a cat", "--show", "--show-as", "blocks"],
    ["query", f"camera:{EVIL}"],
    ["query", "a cat", "--copy-to", "COPIES"],
    ["query", "a cat", "--copy-to", f"copies{EVIL}"],
    ["query", f"nothing{EVIL}.png"],
    ["query", f'"{EVIL}'],
    ["query", f"size:{EVIL}"],
    ["query", "--like", f"nothing{EVIL}.png"],
    ["query", "a cat", "--in", f"nothing{EVIL}"],
    ["query", "a cat", "--html", f"sheet{EVIL}.html"],
    ["status"],
    ["status", "--failed"],
    ["caption", "ALL"],
    ["ask", "CAT", f"what is it {EVIL}?"],
    ["explain", "CAT", f"a cat {EVIL}"],
    ["duplicates"],
    ["duplicates", "--undo", f"nothing{EVIL}"],
    ["verify", "--deep"],
    ["remove", f"nothing{EVIL}"],
    ["remove", "CAT"],
    ["restore", f"nothing{EVIL}"],
    ["import", f"nothing{EVIL}"],
    ["tag", "--vocabulary", f"nothing{EVIL}"],
    ["eval", f"nothing{EVIL}", "--captions", f"captions{EVIL}"],
    ["index", "--model", f"none{EVIL}"],
    ["models", f"--{EVIL}"],
    [f"{EVIL}"],
]


@posix
def test_nothing_commands_a_terminal(mmsearch: CLI, named: Path, tmp_path: Path) -> None:
    mmsearch("index", named)
    cat = str(named / f"cat{EVIL}.png")
    words = {"FOLDER": [str(named)], "CAT": [cat], "COPIES": [str(tmp_path / "copies")]}
    words["ALL"] = [cat, str(named / f"broken{EVIL}.png")]
    raw = []
    for run in RUNS:
        arguments = [argument for word in run for argument in words.get(word, [word])]
        done = mmsearch(*arguments, check=None)
        out = done.stdout.encode("utf-8", "surrogateescape")
        if "--show" in run:
            out = re.sub(rb"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\", b"", out)  # colours, and links to files
        if run[0] == "caption":
            out = out.replace(os.fsencode(cat), b"")  # a path for programs: this is no terminal
        if COMMANDS.search(out) or COMMANDS.search(done.stderr.encode("utf-8", "surrogateescape")):
            raw.append((run, done.stdout, done.stderr))
    assert raw == []


@posix
def test_paths_on_a_terminal_are_escaped_and_in_a_pipe_are_bytes(mmsearch: CLI, named: Path, tmp_path: Path) -> None:
    from played_terminal import play

    mmsearch("index", named)
    command = [sys.executable, "-m", "mmsearch.cli", "query", "a cat", "-k", "1", "--paths"]
    own = surroundings(tmp_path, {"TERM": "dumb"})  # which says nothing of waiting, as happens on a busy machine
    seen, _ = play(command, {}, folder=tmp_path, **own)  # type: ignore[arg-type]
    assert seen.rstrip().endswith(b"red\\x9b2J\\r\\u202e.png")
    assert not COMMANDS.search(seen.replace(b"\r\n", b""))
    for option, end in (("--paths", b"\n"), ("--print0", b"\0")):
        done = mmsearch("query", "a cat", "-k", "1", option)
        assert done.stdout.encode("utf-8", "surrogateescape") == os.fsencode(named / f"cat{EVIL}.png") + end
    hit = json.loads(mmsearch("query", "a cat", "-k", "1", "--json").stdout)
    assert hit["path"] == str(named / f"cat{EVIL}.png")


def test_what_is_escaped() -> None:
    assert streams.escaped("tab\there, \N{CAT FACE}, \u0631\u200c, é\nnext") == (
        "tab\there, \N{CAT FACE}, \u0631\u200c, é\nnext"
    )
    assert streams.escaped("a\x1b[31m\nb\x7f\x85\u2028", lines=False) == r"a\x1b[31m\nb\x7f\x85\u2028"


def test_log_is_one_line(mmsearch: CLI, photos: Path, library: Library) -> None:
    from mmsearch.cli.app import _Lines

    record = logging.LogRecord("mmsearch", logging.WARNING, "", 0, "%s", ("a\nmmsearch: all is well\x1b[A",), None)
    printed: list[str] = []

    class Kept:
        def write(self, text: str) -> None:
            printed.append(text)

        def flush(self) -> None: ...

    before = sys.stderr
    sys.stderr = Kept()
    try:
        _Lines().emit(record)
    finally:
        sys.stderr = before
    assert "".join(printed) == "a\\nmmsearch: all is well\\x1b[A\n"


def test_only_one_module_makes_what_commands_a_terminal() -> None:
    """Who prints by other means, or hands Rich a text of its own, is not guarded."""
    wrong = []
    for file in sorted((ROOT / "cli").rglob("*.py")):
        if file.name == "streams.py":
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                made = node.func.id == "Console" or (node.func.id == "Text" and (node.args or node.keywords))
                wrong += [f"{file.name}:{node.lineno}"] if made else []
            if isinstance(node, ast.Attribute):
                for_programs = file.name in (
                    "formatting.py",
                    "mcp.py",
                    "pager.py",
                )  # bytes, JSON, what is escaped already
                past = node.attr in ("buffer", "unguarded") and not for_programs
                past = past or node.attr in ("__stdout__", "__stderr__", "from_markup")
                wrong += [f"{file.name}:{node.lineno}"] if past else []
    assert wrong == []


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a library of two photos."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "photos").mkdir()
    for name in ("chelsea.png", "camera.png"):
        shutil.copy(SAMPLES / name, folder / "photos")
    assert in_process.call(["index", "photos"], surroundings(folder, {}), folder).returncode == 0
    return folder / "home"


@pytest.fixture
def indexed(shelf: Path, tmp_path: Path) -> Path:
    """A folder with a copy of it."""
    shutil.copytree(shelf, tmp_path / "home")
    return tmp_path


@posix
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, photos: Path, tmp_path: Path) -> None:
    commands: list[list[str | Path]] = [["index", photos / "trips"], ["query", "a cat"], ["status"], ["verify"]]
    ask = [["query", "a cat", "--json", "-k", "1"], ["query", "size:nonsense"]]
    *each, done, failed = forked([*commands, *ask], surroundings(tmp_path, {}), tmp_path, f'"$@" {closed}')
    for one in each:
        assert (one.args, one.returncode, "Traceback" in one.stderr) == (one.args, 0, False), one.stderr
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert done.stdout.count("\n") == (0 if ">&-" in closed.replace("2>&-", "") else 1)
    assert (failed.returncode, failed.stdout) == (2, "")  # what is for stderr is not among the results
    assert bool(failed.stderr) == ("2>&-" not in closed)


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_full_output_is_said(indexed: Path) -> None:
    commands = [["query", "a cat", *options] for options in ([], ["--json"], ["--paths"])]
    for done in forked(commands, surroundings(indexed, {}), indexed, '"$@" >/dev/full'):
        assert (done.args, done.returncode, done.stderr) == (done.args, 1, "mmsearch: No space left on device\n")


@posix
@pytest.mark.parametrize("unbuffered", [False, True])  # it is noticed at the end, or in the middle
def test_reader_that_went_away_is_no_error(unbuffered: bool, indexed: Path) -> None:
    (library,) = (file.parent for file in (indexed / "home").rglob("library.sqlite"))
    damaged = shutil.copytree(library, indexed / "damaged")
    with closing(sqlite3.connect(damaged / "library.sqlite")) as database, database:
        database.execute("DELETE FROM embeddings")
    commands = [["verify"], ["status"], ["query", "a cat", "--paths"], ["query", "a cat"], ["models", "--json"]]
    failing = [["verify", "--library", "damaged"], ["restore", "nowhere"]]
    environment = surroundings(indexed, {"PYTHONUNBUFFERED": "1"} if unbuffered else {})
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as out:
        each = forked([*commands, *failing], environment, indexed, stdout=out)
    for done in each[: len(commands)]:
        assert (done.args, done.returncode, done.stderr) == (done.args, 0, "")
    assert [done.returncode for done in each[len(commands) :]] == [1, 1]


@posix
def test_working_folder_is_gone(photos: Path, tmp_path: Path) -> None:
    gone = f'cd "{tmp_path}" && mkdir gone && cd gone && rmdir ../gone && "$@"'
    commands: list[list[str | Path]] = [["index", photos / "trips"], ["query", "a cat"], ["query", "a cat", "--json"]]
    for done in forked([*commands, ["status"], ["duplicates"]], surroundings(tmp_path, {}), tmp_path, gone):
        assert (done.args, done.returncode, "Traceback" in done.stderr) == (done.args, 0, False), done.stderr
    command = ["sh", "-c", gone, "sh", sys.executable, "-m", "mmsearch.cli", "index", "photos"]
    alone = subprocess.run(
        command, env=surroundings(tmp_path, {}), capture_output=True, text=True, check=False, timeout=120
    )
    assert alone.returncode == 1
    assert alone.stderr.startswith("mmsearch: ")
    assert len(alone.stderr.splitlines()) == 1


@posix
def test_sheet_where_the_locale_is_ascii(photos: Path, tmp_path: Path) -> None:
    shutil.move(photos / "cat.png", photos / "cät.png")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    asked = [
        ["query", "eine Kätze", *options]
        for options in (["--html", tmp_path / "sheet.html"], ["--json"], [], ["--paths"])
    ]
    for done in forked([["index", photos], *asked], surroundings(tmp_path, ascii_only), tmp_path):
        assert (done.args, done.returncode, "Traceback" in done.stderr) == (done.args, 0, False), done.stderr
    page = (tmp_path / "sheet.html").read_text("utf-8")
    assert "cät.png" in page
    assert "eine Kätze" in page
