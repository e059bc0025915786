"""One way to open a file for reading: what is no regular file (any more) is an error at once."""

from __future__ import annotations

import ast
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from files_that_change import KINDS, at_once, become

from mmsearch.media.filesystem import check_regular, open_regular, read_array, read_regular, read_text

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    become(tmp_path / "photo.jpg", kind)
    for read in (open_regular, read_regular, read_text, check_regular, read_array):
        with at_once(), pytest.raises(OSError, match="no regular file"):
            read(tmp_path / "photo.jpg")


@pytest.mark.skipif(sys.platform == "win32", reason="sockets have no names there")
def test_socket_in_place_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # their names are short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("photo.jpg")
        with pytest.raises(OSError, match="no regular file"):
            open_regular("photo.jpg")


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")


def test_file_that_grows_while_it_is_read_ends_one_byte_after_its_end(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"12345")
    with open_regular(file) as all_at_once, open_regular(file) as in_parts, open_regular(file) as within:
        with file.open("ab") as growing:
            growing.write(b"6" * 100_000)
        assert all_at_once.read() == b"123456"
        assert (in_parts.read(3), in_parts.read(3), in_parts.read(3)) == (b"123", b"456", b"")
        within.seek(2)
        assert (within.read(100), within.read()) == (b"3456", b"")
    assert len(read_regular(file)) == 100_005


def test_file_is_not_inherited(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"1")
    with open_regular(tmp_path / "photo.jpg") as opened:
        assert not os.get_inheritable(opened.fileno())


def test_limit(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(b"12345")
    assert read_regular(tmp_path / "model.json", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(tmp_path / "model.json", 4)


def test_text_has_the_ends_of_lines_that_python_gives(tmp_path: Path) -> None:
    (tmp_path / "questions.txt").write_bytes("\ufeffa dog\r\nä\ra cat\n".encode())
    assert read_text(tmp_path / "questions.txt", "utf-8-sig") == "a dog\nä\na cat\n"


@pytest.mark.parametrize("mapped", [False, True])
def test_array_is_what_numpy_saved(mapped: bool, tmp_path: Path) -> None:
    for rows in (
        np.arange(12, dtype=np.float16).reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.empty((0, 4), np.float32),
        np.array(5),
    ):
        np.save(tmp_path / "rows.npy", rows)
        read = read_array(tmp_path / "rows.npy", mapped)
        assert (read.dtype, read.shape, read.tolist()) == (rows.dtype, rows.shape, rows.tolist())


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("how", ["cut", "no array", "huge", "objects", "deep", "empty"])
def test_damaged_array(how: str, mapped: bool, tmp_path: Path) -> None:
    file = tmp_path / "rows.npy"
    np.save(file, np.ones((3, 4), np.float32))
    content = file.read_bytes()
    head = {"huge": "(1099511627776, 1099511627776)", "deep": "(" * 5000}.get(how, "(3, 4)")
    described = f"{{'descr': '{'|O' if how == 'objects' else '<f4'}', 'fortran_order': False, 'shape': {head}, }}\n"
    if how == "cut":
        file.write_bytes(content[:-1])
    elif how == "no array":
        file.write_bytes(b"PK\3\4" + content)
    elif how == "empty":
        file.write_bytes(b"")
    else:
        file.write_bytes(b"\x93NUMPY\1\0" + len(described).to_bytes(2, "little") + described.encode() + content[-48:])
    with pytest.raises(ValueError, match=r"\w"):
        read_array(file, mapped)


# Where a file is opened for reading by other means, and why; "*" is all of a folder.
OTHERWISE = {
    "mmsearch/media/filesystem.py": "it is the one way",
    "mmsearch/training/shipped/*": "makes the models that ship, out of files of packages",
    "mmsearch/training/contrastive/prefix_cache.py": "a cache that the run itself has just made",
    "mmsearch/language/caption_words.py": "a file of this package",
    "mmsearch/encoders/hub/open_clip_table.py": "a file of this package",
    "mmsearch/language/nouns.py": "a file of this package",
    "mmsearch/language/prompts.py": "a file of this package",
    "mmsearch/language/vocabulary.py": "a file of this package",
    "mmsearch/language/word_rates.py": "a file of this package",
    "mmsearch/search/unknown_words.py": "a file of this package",
    "mmsearch/server/api/page.py": "a file of this package",
    "mmsearch/store/sqlite/new_schema.py": "a file of this package",
    "mmsearch/manage/map/page.py": "a file of this package",
    "mmsearch/encoders/hub/download.py": "a file that it has just written",
    "mmsearch/encoders/export/model_folder.py": "graphs that it has just written",
    "mmsearch/encoders/export/region_graph.py": "graphs that are exported",
    "mmsearch/rerank/graphs.py": "graphs that it has just written",
    "mmsearch/rerank/card.py": "graphs that were just written",
    "mmsearch/encoders/onnx/session.py": "/proc/cpuinfo",
    "mmsearch/encoders/export/int8.py": "a file that was just exported",
    "mmsearch/training/reranker/run.py": "a graph that it has loaded",
    "mmsearch/store/kept_map.py": "what it has opened as all others do",
    "indexes/memory.py": "files of the system",
    "cli/samples.py": "photos of a package",
    "cli/hidden_password.py": "its own process, as the system shows it",
}
READERS = {"read_text", "read_bytes", "from_file", "copy2", "copyfile", "copytree"}


def _reads(call: ast.Call) -> bool:
    """Whether a call opens a file for reading."""
    if isinstance(call.func, ast.Name):
        name, mode = call.func.id, call.args[1:2]
    elif isinstance(call.func, ast.Attribute):
        name, mode = call.func.attr, call.args[:1]
        if isinstance(call.func.value, ast.Name) and call.func.value.id == "np" and name in ("load", "fromfile"):
            return True
    else:
        return False
    if name != "open":
        return isinstance(call.func, ast.Attribute) and name in READERS
    mode += [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    if not mode:
        return isinstance(call.func, ast.Name) or not call.args
    return isinstance(mode[0], ast.Constant) and mode[0].value in ("r", "rt", "rb")


def test_files_are_opened_for_reading_in_one_way_only() -> None:
    found: dict[str, ast.Call] = {}
    for folder in ("mmsearch", "indexes", "cli"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            allowed = name if name in OTHERWISE else f"{os.path.dirname(name)}/*"
            calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
            for call in filter(_reads, calls):
                found.setdefault(allowed if allowed in OTHERWISE else f"{name}:{call.lineno}", call)
    assert [place for place in found if place not in OTHERWISE] == []
    assert [place for place in OTHERWISE if place not in found] == []
