"""The real command line: what it prints where, its JSON, its exit codes, its messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from played_terminal import play
from samples import CLI, SAMPLES, interruptible


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_index_then_query_is_all_it_takes(mmsearch_process: CLI, photos: Path, tmp_path: Path) -> None:
    """In processes: the main job, as people start it; and dependencies write when they are imported."""
    done = mmsearch_process("index", photos)
    assert done.stdout == ""
    assert "using the embedded model" in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[1].startswith("5 added in ")
    done = mmsearch_process("query", "a man with a camera", "-k", "2")
    assert done.stderr == ""
    title, heads, first, second = done.stdout.splitlines()
    assert title.strip() == "a man with a camera"
    assert heads.split() == ["Score", "Relevance", "Path", "Size", "Date"]
    score, relevance, path, size, *_ = first.split()
    assert (path, size) == ("photos/cameraman.png", "512×512")
    assert float(score) > float(second.split()[0])
    assert 100 >= int(relevance[:-1]) > int(second.split()[1][:-1])
    written = {file.relative_to(tmp_path / "home") for file in (tmp_path / "home").rglob("*") if file.is_file()}
    assert {file for file in written if "mmsearch" not in file.parts} == set()  # no telemetry of a dependency


def test_json_keys_are_as_promised(mmsearch: CLI, photos: Path) -> None:
    """What scripts run, with one command of each kind."""
    (photos / "bad.jpg").write_bytes(b"no picture")
    (report,) = lines(mmsearch("index", photos, "--json").stdout)
    assert {key: report[key] for key in ["added", "updated", "moved", "unchanged", "removed", "skipped", "model"]} == {
        "added": 5,
        "updated": 0,
        "moved": 0,
        "unchanged": 0,
        "removed": 0,
        "skipped": [{"path": str(photos / "bad.jpg"), "reason": "not a picture that can be read"}],
        "model": "embedded",
    }
    assert report["seconds"] > 0
    hits = lines(mmsearch("query", "a", "motorcycle", "--json", "-k", "3").stdout)
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert hits[0]["path"] == str(photos / "trips" / "motorcycle.png")
    assert hits[0]["score"] > hits[1]["score"] > hits[2]["score"]
    (status,) = lines(mmsearch("status", "--json").stdout)
    keys = ["photos", "failed", "missing", "model", "dim", "index", "generation", "bytes", "library"]
    assert {key: status[key] for key in keys[:6]} == {
        "photos": 5, "failed": 1, "missing": 0, "model": "embedded", "dim": 512, "index": 5,
    }  # fmt: skip
    assert set(keys) <= set(status)
    assert lines(mmsearch("remove", photos / "trips", "--json").stdout) == [
        {"removed": 2, "texts": 0, "captions": 0, "tagged": 0}
    ]
    names = [model["name"] for model in lines(mmsearch("models", "--json").stdout)]
    assert names[0] == "embedded"


def test_status_and_models_for_people(mmsearch: CLI, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture")
    mmsearch("index", photos)
    out = mmsearch("status").stdout
    assert "5 can be found, 0 missing, 1 could not be read" in out
    assert "bad.jpg: not a picture that can be read" in out
    assert "embedded" in mmsearch("models").stdout


def test_paths_are_printed_byte_for_byte(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    """Paths in a process: the bytes that a pipe gets."""
    try:
        shutil.copy(os.fsencode(photos / "cat.png"), os.fsencode(photos) + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    mmsearch("index", photos)
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "MMSEARCH_OFFLINE": "1"}
    command = [sys.executable, "-m", "mmsearch.cli", "query", "a cat", "-k", "2", "--paths"]
    out = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert sorted(out.splitlines()) == [os.fsencode(photos) + name for name in (b"/caf\xe9.png", b"/cat.png")]
    paths = [hit["path"] for hit in lines(mmsearch("query", "a cat", "-k", "2", "--json").stdout)]
    assert sorted(os.fsencode(path) for path in paths) == sorted(out.splitlines())
    assert "caf\\xe9.png" in mmsearch("query", "a cat", "-k", "2").stdout


def test_search_inside_a_folder_and_by_picture(mmsearch: CLI, photos: Path) -> None:
    mmsearch("index", photos)
    inside = mmsearch("query", "a cat", "--in", photos / "trips", "--paths").stdout.splitlines()
    assert sorted(inside) == [str(photos / "trips" / name) for name in ("motorcycle.png", "rocket.jpg")]
    (photos / "nothing").mkdir()
    done = mmsearch("query", "a cat", "--in", photos / "nothing")
    assert (done.stdout, "no pictures found there" in done.stderr) == ("", True)
    similar = mmsearch("query", photos / "cat.png", "--paths").stdout.splitlines()
    assert len(similar) == 4
    assert str(photos / "cat.png") not in similar


def test_library_by_option_and_by_environment(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos, "--library", tmp_path / "own")
    for arguments, environment in [(("--library", str(tmp_path / "own")), {}), ((), {"MMSEARCH_LIBRARY": "own"})]:
        (status,) = lines(mmsearch("status", "--json", *arguments, **environment).stdout)
        assert (status["photos"], status["library"]) == (5, str(tmp_path / "own"))
    assert mmsearch("status", check=1).stderr.startswith("mmsearch: there is no library in ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["index", "nowhere"], 1, "no such file or folder"),
        (["query", "x", "-k", "0"], 2, "-k"),
        (["query"], 2, "QUERY"),
        (["query", ""], 2, "the query is empty"),
        (["query", "./nowhere.jpg"], 1, "no such file"),
        (["query", "./photos"], 1, "is a folder"),
        (["query", "x", "--in", "nowhere"], 1, "nowhere: no such file or folder"),
        (["query", "./notes.txt"], 1, "cannot be used as a query: not a picture that can be read"),
        (["query", "x", "--json", "--paths"], 2, "exclude each other"),
        (["query", "x", "--device", "tpu"], 2, "must be auto, cpu or cuda"),
        (["remove", "elsewhere"], 1, "knows no picture at elsewhere"),
        (["index", "photos", "--max-megapixels", "0"], 2, "--max-megapixels"),
        (["eval", "--captions", "nowhere.tsv", "--images", "photos"], 1, "nowhere.tsv cannot be read"),
        (["eval", "--captions", "notes.txt", "--images", "photos"], 1, "wanted 'file name<TAB>caption'"),
        (["paint"], 2, "paint"),
    ],
)
def test_wrong_input_has_a_message_and_an_exit_code(
    mmsearch: CLI, common_shelf: Path, arguments: list[str], code: int, message: str
) -> None:
    done = mmsearch(*arguments, check=code)
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("query", ["[/b] a [red] cat", "~20 people", "~nobody", "t-shirt"])
def test_any_words_can_be_asked(mmsearch: CLI, common_shelf: Path, query: str) -> None:
    done = mmsearch("query", "--", *query.split(" "))
    assert done.stdout.splitlines()[0].strip() == query


def test_terminal_without_utf8(mmsearch: CLI, mmsearch_process: CLI, photos: Path) -> None:
    """In a process: Python sets the encoding of its streams when it starts.  ``test_streams.py`` has ``index`` so."""
    (photos / "cat.png").rename(photos / "größe.png")
    mmsearch("index", photos)
    assert "gr\\xf6\\xdfe.png" in mmsearch_process("query", "a cat", PYTHONIOENCODING="ascii").stdout


def test_remove_says_what_goes_with_the_pictures(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos, "--captions")
    done = mmsearch("remove", "photos/cat.png")
    assert done.stderr.startswith(
        "forgot 1 picture with the captions of 1; to have that again: mmsearch index --captions\n"
    )
    command = [sys.executable, "-m", "mmsearch.cli", "remove", "photos"]
    question = b"forget 4 pictures with the captions of 4? No file is deleted [y/N]: "
    shown, _ = play(command, {question: b"n\n"}, folder=tmp_path, HOME=str(tmp_path / "home"))
    assert question in shown
    assert b"nothing was forgotten" in shown
    shown, _ = play(command, {question: b"y\n"}, folder=tmp_path, HOME=str(tmp_path / "home"))
    assert b"forgot 4 pictures with the captions of 4" in shown
    (told,) = lines(mmsearch("status", "--json").stdout)
    assert told["photos"] == 0


def test_remove_says_what_it_did(mmsearch: CLI, photos: Path) -> None:
    mmsearch("index", photos)
    assert "the path is empty" in mmsearch("remove", "", check=1).stderr  # not the current folder
    assert "forgot 2 pictures\nphotos is still known" in mmsearch("remove", "photos/trips").stderr
    assert mmsearch("remove", "photos").stderr == "forgot 3 pictures\n"
    (photos.parent / "empty").mkdir()
    mmsearch("index", "empty")
    assert mmsearch("remove", "empty").stderr == "forgot 0 pictures\n"
    for arguments in (["photos"], ["photos", "--json"]):
        assert mmsearch("remove", *arguments, check=1).stdout == ""


def test_unknown_model_is_named_with_its_neighbours(mmsearch: CLI, photos: Path) -> None:
    done = mmsearch("index", photos, "--model", "ViT-B-23", check=1)
    assert "ViT-B-23" in done.stderr
    assert "ViT-B-32" in done.stderr


def test_empty_folder_is_said_and_is_no_failure(mmsearch: CLI, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = mmsearch("index", "empty")
    assert "no pictures found" in done.stderr


def test_newer_library_is_refused(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos, "--library", "own")
    connection = sqlite3.connect(tmp_path / "own" / "library.sqlite")
    connection.execute("UPDATE alembic_version SET version_num = '999'")
    connection.commit()
    connection.close()
    for command in (["query", "x"], ["index", "photos"], ["status"]):
        assert "made by a newer version of mmsearch" in mmsearch(*command, "--library", "own", check=1).stderr


def test_database_of_another_program_is_left_alone(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    connection = sqlite3.connect(tmp_path / "own" / "library.sqlite")
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    assert "another program" in mmsearch("index", photos, "--library", "own", check=1).stderr
    (tmp_path / "own" / "library.sqlite").write_bytes(b"no database at all" * 100)
    assert "the file is damaged" in mmsearch("index", photos, "--library", "own", check=1).stderr


def test_settings_of_the_wrong_kind(mmsearch: CLI, photos: Path) -> None:
    done = mmsearch("index", photos, check=1, MMSEARCH_BATCH="many")
    assert done.stderr == "mmsearch: MMSEARCH_BATCH: batch must be a whole number, not 'many'\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything")
def test_folders_without_permission(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    (photos / "trips").chmod(0)
    (tmp_path / "locked").mkdir(mode=0o555)
    try:
        assert "no permission to read it" in mmsearch("index", photos / "trips", check=1).stderr
        assert "permission denied" in mmsearch("index", photos).stderr
        assert "cannot be" in mmsearch("index", photos, "--library", tmp_path / "locked" / "own", check=1).stderr
    finally:
        (photos / "trips").chmod(0o755)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_keeps_what_is_stored(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    for number in range(120):
        content = (SAMPLES / "rocket.jpg").read_bytes() + bytes(number + 1)  # each different, all the same picture
        (photos / f"{number}.jpg").write_bytes(content)
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "MMSEARCH_OFFLINE": "1", "MMSEARCH_BATCH": "4"}
    command = [sys.executable, "-m", "mmsearch.cli", "index", str(photos)]
    with interruptible():
        running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    file = tmp_path / "home" / ".local" / "share" / "mmsearch" / "library" / "library.sqlite"
    for _ in range(600):
        time.sleep(0.05)
        if file.exists() and _count(file):
            break
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "run the same command again to go on" in errors
    (status,) = lines(mmsearch("status", "--json").stdout)
    assert 0 < status["photos"] < 125
    (report,) = lines(mmsearch("index", photos, "--json").stdout)
    assert report["encoded"] == report["added"] == 125 - status["photos"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_is_ignored_where_it_was_told_so(photos: Path, tmp_path: Path) -> None:
    """As by ``nohup mmsearch index … &``: somebody at the terminal stops something else."""
    for number in range(30):
        (photos / f"{number}.jpg").write_bytes((SAMPLES / "rocket.jpg").read_bytes() + bytes(number + 1))
    library = tmp_path / "library"
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "MMSEARCH_OFFLINE": "1", "MMSEARCH_BATCH": "4"}
    command = [sys.executable, "-m", "mmsearch.cli", "index", str(photos), "--library", str(library), "--json"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        with interruptible():  # which sets the other one back, to ignored
            other = subprocess.Popen(
                [sys.executable, "-c", "import signal; print(signal.getsignal(2).__name__)"], stdout=subprocess.PIPE
            )
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert other.communicate(timeout=60)[0] == b"default_int_handler\n"
    for _ in range(1200):
        time.sleep(0.05)
        if (library / "library.sqlite").exists() and _count(library / "library.sqlite"):
            break
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 0
    assert json.loads(output)["added"] == 35


def _count(file: Path) -> int:
    connection = sqlite3.connect(file, timeout=10)
    try:
        return int(connection.execute("SELECT count(*) FROM photos").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def test_a_cold_query_imports_no_torch(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    code = (
        "import sys\nfrom mmsearch.cli.app import app\n"
        "try: app(['query', '--json', 'a cat'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'open_clip', 'transformers', 'alembic', 'timm') if name in sys.modules])"
    )
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "MMSEARCH_OFFLINE": "1"}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_eval_prints_the_promised_figures(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "captions.tsv").write_text(
        "cat.png\ta cat\ncat.png\tthe face of a cat\ngrass.png\tgrass\ncameraman.png\ta man with a camera\n"
        "gone.png\tnothing\n"
    )
    arguments = ["eval", "--captions", "captions.tsv", "--images", "photos", "--model", "embedded"]
    (figures,) = lines(mmsearch(*arguments, "--json").stdout)
    assert (figures["queries"], figures["photos"]) == (4, 3)
    assert figures["text_to_image"] == {"R@1": 100.0, "R@5": 100.0, "R@10": 100.0, "MRR": 100.0}
    assert figures["image_to_text"]["R@1"] == 100.0
    assert [Path(item["path"]).name for item in figures["skipped"]] == ["gone.png"]
    (tmp_path / "some.txt").write_text("cat.png\n")
    (figures,) = lines(mmsearch(*arguments, "--only", "some.txt", "--json").stdout)
    assert (figures["queries"], figures["photos"]) == (2, 1)
    assert "text to image  R@1 100.00" in mmsearch(*arguments).stdout


def test_what_is_left_out_is_remembered_and_shown(mmsearch: CLI, photos: Path) -> None:
    def done(*arguments: object) -> tuple[int, int]:
        (report,) = lines(mmsearch("index", *arguments, "--json").stdout)
        return report["added"], report["unchanged"]

    assert done(photos, "--exclude", "trips", "--exclude", "cam*") == (2, 0)
    assert done() == (0, 2)
    assert f"folders   {photos} without trips, cam*\n" in mmsearch("status").stdout
    assert lines(mmsearch("status", "--json").stdout)[0]["exclude"] == {str(photos): ["trips", "cam*"]}
    assert done(photos, "--exclude", "") == (3, 2)
    assert done("photos", "--exclude", "photos/trips/") == (0, 3)  # as a shell completes it, seen from here
    assert f"without {photos / 'trips'}\n" in mmsearch("status").stdout
    said = mmsearch("index", "photos", "--exclude", "*.png", "--exclude", "*.heic").stderr
    assert "*.heic leaves out nothing: nothing that is looked at is called so" in said
    assert "*.png leaves out" not in said
    for pattern in (str(photos), "/"):
        assert "nothing would be left" in mmsearch("index", "photos", "--exclude", pattern, check=2).stderr
    assert "no pattern of names or paths" in mmsearch("index", "photos", "--exclude", "\\", check=2).stderr
    assert done("photos", "--exclude", "") == (0, 1)
    assert f"folders   {photos}\n" in mmsearch("status").stdout
    back = ["--exclude", "*.png", "--exclude", "!cat.png", "--exclude", "trips/", "--exclude", "!trips/rocket.jpg"]
    said = mmsearch("index", "photos", *back).stderr
    assert "!trips/rocket.jpg brings back nothing: " in said
    assert said.count("nothing:") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
def test_what_is_no_regular_file_is_called_what_it_is(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    (photos / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "endless.jpg").symlink_to("/dev/zero")
    said = mmsearch("index", photos / "loop.jpg", check=1).stderr
    assert said == f"mmsearch: {photos / 'loop.jpg'}: broken link\n"
    skipped = {item["path"]: item["reason"] for item in lines(mmsearch("index", photos, "--json").stdout)[0]["skipped"]}
    irregular = "neither a file nor a folder"
    wanted = {"loop.jpg": "broken link", "pipe.jpg": irregular, "endless.jpg": irregular}
    assert skipped == {str(photos / name): reason for name, reason in wanted.items()}
    for name in ("pipe.jpg", "endless.jpg"):
        assert "it is no regular file" in mmsearch("restore", photos / name, check=1).stderr
    assert "a broken link" in mmsearch("restore", photos / "loop.jpg", check=1).stderr
