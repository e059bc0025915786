"""Pictures in the terminal: what the bytes mean that are written to it, and what it is asked."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from samples import CLI, SAMPLES

from mmsearch.cli.protocols import iterm2, kitty, sixel
from mmsearch.cli.terminal import Terminal, find_out

pytest.importorskip("termios", reason="terminals of POSIX")

from played_terminal import ATTRIBUTES, KITTY, play

# One picture that is gone, one that is there.
SHOW = """
import sys
from mmsearch.cli.show import show
from mmsearch.types import Hit, Photo
hits = [Hit(rank, 0.5, Photo(path, 60, 40, "png", 7, 0)) for rank, path in enumerate(sys.argv[2:], 1)]
print("shown", show(hits, "a title", 200.0, sys.argv[1] or None))
"""


def program(*paths: Path, way: str = "") -> list[str]:
    return [sys.executable, "-c", SHOW, way, *map(str, paths)]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """60 x 40 pixels, each of another colour."""
    down, across = np.mgrid[:40, :60]
    pixels = np.stack([across * 4, down * 6, 255 - across * 2 - down], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def drawn_blocks(line: bytes) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Upper and lower colour of each half block of a line."""
    found = re.findall(rb"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m(\xe2\x96\x80+)", line)
    colours = [(tuple(map(int, parts[:3])), tuple(map(int, parts[3:6])), len(parts[6]) // 3) for parts in found]
    return [(upper, lower) for upper, lower, times in colours for _ in range(times)]


def decoded_sixel(sequence: str) -> NDArray[np.uint8]:
    """The picture, (height, width, 3), by the rules of the VT340's manual, a character at a time."""
    head = re.match(r'\x1bPq"1;1;(\d+);(\d+)', sequence)
    assert head is not None
    assert sequence.endswith("\x1b\\")
    width, height = int(head[1]), int(head[2])
    found = np.zeros((height + 6, width, 3), np.uint8)
    palette: dict[int, NDArray[np.float64]] = {}
    colour, across, down = 0, 0, 0
    body = sequence[head.end() : -2]
    for part in re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)(.)|([?-~])|(\$)|(-)", body):
        if part[1]:
            palette[int(part[1])] = np.array([int(part[2]), int(part[3]), int(part[4])]) * 2.55
        elif part[5]:
            colour = int(part[5])
        elif part[6] or part[8]:
            bits, times = ord(part[7] or part[8]) - 63, int(part[6] or 1)
            for bit in range(6):
                if bits >> bit & 1:
                    found[down + bit, across : across + times] = palette[colour].round()
            across += times
        elif part[9]:
            across = 0
        else:
            across, down = 0, down + 6
    return found[:height]


def test_half_blocks_have_the_colours_of_the_picture(picture: Path) -> None:
    written, _ = play(program(picture), {ATTRIBUTES: b"\x1b[?1;2c"})
    lines = [line for line in written.split(b"\r\n") if b"\xe2\x96\x80" in line]
    # Rows of 8 characters that are twice as high as broad: 60 x 40 becomes 24 x 16 half characters.
    wanted = np.asarray(Image.open(picture).convert("RGB").resize((24, 16)))
    assert [drawn_blocks(line) for line in lines] == [
        [(tuple(wanted[2 * row, column]), tuple(wanted[2 * row + 1, column])) for column in range(24)]
        for row in range(8)
    ]
    assert b"shown True" in written


def test_kitty_is_asked_and_gets_the_picture(picture: Path) -> None:
    written, _ = play(program(picture), {KITTY: b"\x1b_Gi=4207;OK\x1b\\", ATTRIBUTES: b"\x1b[?62;4c"})
    there_and_back = rb"\x1b7\x1b\[(\d+)A\x1b_Ga=T,f=100,c=(\d+),r=(\d+),C=1,q=2,m=0;([^\x1b]*)\x1b\\\x1b8"
    (place,) = re.findall(there_and_back, written)
    assert place[:3] == (b"8", b"24", b"8")
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(base64.b64decode(place[3])))), np.asarray(Image.open(picture))
    )
    assert b"\xe2\x96\x80" not in written


def test_sixel_is_drawn_in_the_pixels_of_the_terminal(picture: Path) -> None:
    written, _ = play(program(picture), {ATTRIBUTES: b"\x1b[?62;4;22c"}, size=(50, 100, 900, 900))
    (sequence,) = re.findall(r"\x1bPq.*?\x1b\\", written.decode())
    assert decoded_sixel(sequence).shape == (8 * 18, 24 * 9, 3)


def test_terminal_tells_the_size_of_its_characters_where_the_system_does_not(picture: Path) -> None:
    answers = {b"\x1b[16t": b"\x1b[6;30;12t", ATTRIBUTES: b"\x1b[?4c"}
    written, _ = play(program(picture), answers, size=(50, 100, 0, 0))
    (shape,) = re.findall(rb'\x1bPq"1;1;(\d+);(\d+)', written)
    assert shape == (b"336", b"210")  # 60 x 40 in 28 columns of 12 pixels: 7 rows of 30


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"LC_TERMINAL": "iTerm2", "TMUX": "/tmp/socket,1,0"}, "blocks"),
        ({"TERM_PROGRAM": "Apple_Terminal"}, "blocks"),
        ({"TERM": "linux"}, "blocks"),
    ],
)
def test_some_terminals_are_known_by_name(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], way: str
) -> None:
    for name in ("TERM_PROGRAM", "LC_TERMINAL", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **environment}.items():
        monkeypatch.setenv(name, value)
    assert find_out().way == way
    assert find_out("kitty") == Terminal("kitty")


def test_a_terminal_known_by_name_is_not_asked(picture: Path) -> None:
    written, _ = play(program(picture), {}, TERM_PROGRAM="iTerm.app")
    assert b"\x1b]1337;File=inline=1;width=24;height=8;" in written
    assert (KITTY in written, ATTRIBUTES in written) == (False, False)


def test_inside_tmux_only_tmux_counts(picture: Path) -> None:
    answers = {ATTRIBUTES: b"\x1b[?1;2c"}
    written, _ = play(program(picture), answers, TMUX="/tmp/socket,1,0", TERM="tmux-256color", LC_TERMINAL="iTerm2")
    assert KITTY not in written  # tmux would make a title of it
    assert b"1337" not in written
    assert b"\xe2\x96\x80" in written


def test_terminal_that_does_not_answer_is_not_waited_for(picture: Path) -> None:
    written, seconds = play(program(picture), {})
    assert ATTRIBUTES in written
    assert b"\xe2\x96\x80" in written
    assert seconds < 20


def test_nobody_is_asked_where_standard_input_is_no_terminal(picture: Path) -> None:
    written, _ = play(program(picture), {}, standard_input=False)
    assert (KITTY in written, ATTRIBUTES in written) == (False, False)
    assert b"\xe2\x96\x80" in written


def test_without_colours_nothing_is_shown(picture: Path) -> None:
    written, _ = play(program(picture), {ATTRIBUTES: b"\x1b[?1;2c"}, NO_COLOR="1")
    assert b"shown False" in written
    assert b"\xe2\x96\x80" not in written


def test_pictures_that_cannot_be_shown_leave_a_place(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:60])
    command = program(tmp_path / "gone.png", picture, tmp_path / "broken.png", way="blocks")
    out = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    plain = re.sub(r"\x1b\[[\d;]*m|\x1b\]8;[^\x1b]*\x1b\\", "", out)
    assert re.findall(r"│ (\S.*?) *│", plain) == ["the file is gone", "the file is truncated"]
    assert plain.count("▀") == 24 * 8


def test_kitty_takes_pictures_in_parts() -> None:
    picture = Image.open(SAMPLES / "chelsea.png")
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(picture, 24, 8))
    assert [head for head, _ in parts] == ["a=T,f=100,c=24,r=8,C=1,q=2,m=1", *["q=2,m=1"] * (len(parts) - 2), "q=2,m=0"]
    assert max(len(data) for _, data in parts) == 4096
    sent = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in parts))))
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(picture))


def test_iterm2_gets_a_jpeg() -> None:
    picture = Image.open(SAMPLES / "chelsea.png").convert("RGB")
    found = re.fullmatch(
        r"\x1b\]1337;File=inline=1;width=24;height=8;preserveAspectRatio=0:(.*)\x07", iterm2(picture, 24, 8)
    )
    assert found is not None
    sent = Image.open(io.BytesIO(base64.b64decode(found[1])))
    assert (sent.format, sent.size) == ("JPEG", picture.size)
    assert np.abs(np.asarray(sent).astype(int) - np.asarray(picture)).mean() < 4


def test_sixel_is_the_picture_in_255_colours() -> None:
    picture = Image.open(SAMPLES / "chelsea.png").convert("RGB").resize((97, 61))
    wanted = np.asarray(picture).astype(float)
    found = decoded_sixel(sixel(picture, 97, 61)).astype(float)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 255
    # Colours are stirred among neighbours, so that they are right on the whole; Sixel tells them in percent.
    assert np.abs(found - wanted).mean() < 3.5
    np.testing.assert_allclose(found.mean(axis=(0, 1)), wanted.mean(axis=(0, 1)), atol=0.5)
    few = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [255, 255, 255]]], np.uint8))
    np.testing.assert_array_equal(decoded_sixel(sixel(few, 2, 2)), np.asarray(few))


def test_query_shows_what_it_finds(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    (photos / "cat.png").unlink()
    command = [sys.executable, "-m", "mmsearch.cli", "query", "a cat", "-k", "2", "--show"]
    home = str(tmp_path / "home")
    written, _ = play(command, {ATTRIBUTES: b"\x1b[?1;2c"}, folder=tmp_path, HOME=home, MMSEARCH_OFFLINE="1")
    assert b"the file is gone" in written
    assert written.count(b"\xe2\x96\x80") > 100
    piped = mmsearch("query", "a cat", "-k", "2", "--show")
    assert piped.stderr == "the output shows no pictures; --show-as blocks draws them anyway\n"
    assert piped.stdout.splitlines()[1].split() == ["Score", "Relevance", "Path", "Size", "Date"]
