"""``mmsearch doctor``, ``mmsearch`` without a command, and what commands say where there are no pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from samples import CLI

from mmsearch.cli import installing
from mmsearch.cli.advice import typed, worded
from mmsearch.encoders.packages import HEAVY, lacking, needed_for
from mmsearch.errors import ModelError
from mmsearch.library.checkup import search_problem, unwritable


def findings(mmsearch: CLI, *options: str, code: int = 0) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for line in mmsearch("doctor", "--json", *options, check=code).stdout.splitlines():
        one = json.loads(line)
        assert set(one) == {"name", "said", "state", "advice", "values"}
        found.setdefault(one["name"], []).append(one)
    return found


def test_a_machine_in_order(mmsearch: CLI, photos: Path) -> None:
    mmsearch("index", photos)
    found = findings(mmsearch)
    assert list(found) == ["versions", "packages", "search", "GPU", "hub", "extras", "library", "health", "speed"]
    assert [one["state"] for ones in found.values() for one in ones if one["state"] == "broken"] == []
    assert str(found["library"][0]["said"]).endswith(": 5 photos")
    speed = found["speed"][0]["values"]
    assert isinstance(speed, dict)
    assert set(speed) == {"decoded", "encoded"}
    assert min(speed.values()) > 0
    said = mmsearch("doctor", "--no-speed")
    assert "  health    database and index are in order" in said.stdout


def test_what_is_not_there_yet_is_advice_and_what_is_broken_fails(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    found = findings(mmsearch, "--no-speed")
    assert found["library"][0]["state"] == "advice"
    assert found["library"][0]["advice"] == "to make it: mmsearch index FOLDER"
    assert not list((tmp_path / "home").rglob("library.sqlite"))
    mmsearch("index", photos)
    (file,) = (tmp_path / "home").rglob("library.sqlite")
    file.write_bytes(b"no database" * 1000)
    broken = findings(mmsearch, "--no-speed", code=1)
    assert [one["state"] for one in broken["library"]] == ["broken"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "not" / "there") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert unwritable(tmp_path / "file") == f"{tmp_path / 'file'}: Not a directory"
    assert search_problem() is None


@pytest.mark.parametrize("command", ["query dog", "status", "tag", "tag --list", "duplicates", "export out"])
def test_an_empty_library_says_what_to_do(command: str, mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    words = command.split()
    none = mmsearch(*words, check=1).stderr
    assert none.startswith("mmsearch: there is no library in ")
    assert none.endswith("yet: index some pictures first, mmsearch index FOLDER\n")
    (tmp_path / "empty").mkdir()
    mmsearch("index", "empty")
    said = mmsearch(*words).stderr
    assert said.endswith("there are no pictures in empty yet; name another folder: mmsearch index FOLDER\n")


def test_pictures_that_are_gone_and_unreadable_ones(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    photos.rename(tmp_path / "elsewhere")
    photos.mkdir()
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes(50))
    mmsearch("remove", photos / "trips")
    mmsearch("index", photos / "broken.jpg", "--library", tmp_path / "other")
    failed = mmsearch("query", "dog", "--library", tmp_path / "other").stderr
    wanted = "1 file could not be read, and there is nothing else; the reasons: mmsearch status --failed"
    assert failed == f"no pictures found: {wanted}\n"


def test_without_a_command_it_says_what_to_do_next(mmsearch: CLI, photos: Path) -> None:
    first = mmsearch().stdout
    assert first.startswith("mmsearch finds your own pictures by what is in them.\n\nNo pictures are indexed yet.")
    assert "    mmsearch index FOLDER\n" in first
    assert first.endswith("\n\nmmsearch --help lists all commands.\n")
    mmsearch("index", photos)
    later = mmsearch().stdout
    assert "\n5 photos of 1 folder can be found. The library is in " in later
    assert '    mmsearch query "a dog on a beach"\n' in later


def test_missing_packages_are_named_with_their_command(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"watchfiles", "torch", "open-clip-torch"}
    monkeypatch.setattr(installing, "installed", lambda name: None if name in absent else "1")
    monkeypatch.setattr(installing, "install_command", lambda names: f"add {' '.join(names)}")
    assert typed("run: pip install 'mmsearch[watch]'") == "run: add watchfiles"
    assert installing.missing("models") == ["open-clip-torch", "torch"]
    assert set(installing.missing("train")) == {"open-clip-torch", "torch"}
    assert installing.adding("heic") == "add pillow-heif"  # nothing is known to lack: all that it needs
    error = ModelError("it needs torch", code="no-packages", extra="models")
    assert worded(error) == "it needs torch: add open-clip-torch torch"
    assert installing.of_module("nothing.of.ours") is None
    assert installing.of_module("watchfiles") == "the package watchfiles is not installed: add watchfiles"
    assert installing.of_module("PIL.Image") == "the package pillow is not installed: add pillow"
    absent |= {"faiss-cpu"}
    gone = (
        "the files of faiss-gpu are gone, as they are when another faiss was removed: add --force-reinstall --no-deps"
    )
    assert installing.of_module("faiss") == f"{gone} faiss-gpu"
    absent |= {"faiss-gpu"}
    assert installing.of_module("faiss") == "the package faiss is not installed: add faiss-cpu"


def test_the_command_is_that_of_the_tool_that_made_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path / "mmsearch"))
    (tmp_path / "mmsearch").mkdir()
    monkeypatch.setattr(installing, "_activated", lambda: True)
    assert installing.install_command(["mcp"]) == "pip install mcp"
    monkeypatch.setattr(installing, "_activated", lambda: False)
    monkeypatch.setattr("sys.executable", "/a b/python")
    assert installing.install_command(["mcp"]) == "'/a b/python' -m pip install mcp"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installing.install_command(["mcp"]) == f"uv pip install --python {tmp_path / 'mmsearch'} mcp"
    (tmp_path / "mmsearch" / "pipx_metadata.json").touch()
    assert installing.install_command(["mcp"]) == "pipx inject mmsearch mcp"


def test_a_failed_import_of_a_heavy_package_is_a_sentence() -> None:
    assert lacking() == []
    with pytest.raises(ModelError, match=r"^int8 needs torch, which is not installed$") as caught, needed_for("int8"):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    assert (caught.value.code, caught.value.fields) == ("no-packages", {"extra": "models"})
    with pytest.raises(ModuleNotFoundError), needed_for("int8"):
        raise ModuleNotFoundError("No module named 'other'", name="other")
    assert len(HEAVY) == 7
