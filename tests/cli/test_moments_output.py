"""Films and documents among hits: how their moments are printed, and where a player begins."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mmsearch.cli.query_output import Results, Shown
from mmsearch.types import Film, Hit, Moment, Photo

MOMENTS = (Moment(1, 0.25, 83_000, 90_500, 84_000, "and a goal"), Moment(0, 0.2, 0, 83_000, 500))


def hits(folder: Path) -> list[Hit]:
    film, pages = folder / "clip.mp4", folder / "letter.pdf"
    return [
        Hit(1, 0.25, Photo(str(film), 1280, 720, "mp4", 4_200_000, 0, film=Film(3_723_000)), moments=MOMENTS),
        Hit(2, 0.2, Photo(str(pages), 600, 800, "pdf", 52_000, 0), moments=(Moment(2, 0.2), Moment(0, 0.1))),
        Hit(3, 0.1, Photo(str(folder / "cat.png"), 300, 200, "png", 7_000, 0)),
    ]


def printed(capsys: pytest.CaptureFixture[str], folder: Path, moments: bool = False) -> list[list[str]]:
    Results(moments=moments).give(hits(folder), "a goal", Shown(200.0, {}), "", None)
    return [line.split("  ") for line in capsys.readouterr().out.splitlines()]


def columns(line: list[str]) -> list[str]:
    return [text.strip() for text in line if text.strip()]


def test_where_nothing_is_ranked_moments_have_no_score(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As for ``words:"a goal"``: their times stand below the heading, what is said below the path."""
    found = [replace(hits(tmp_path)[0], score=None)]
    Results(moments=True).give(found, "a goal", Shown(200.0, {}), "", None)
    _, heading, first, moment, *_ = capsys.readouterr().out.splitlines()
    assert heading.split()[:2] == ["Moment", "Path"]
    assert first.split()[:2] == ["1:23", str(tmp_path / "clip.mp4")]
    assert moment.split() == ["1:23-1:30", "and", "a", "goal"]
    assert moment.index("and a goal") == heading.index("Path")


def test_the_best_moment_stands_beside_the_score(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = [columns(line) for line in printed(capsys, tmp_path)]
    assert lines[1] == ["Score", "Moment", "Path", "Size", "Date"] or lines[1][0].split() == ["Score", "Moment"]
    words = [" ".join(line).split() for line in lines[2:]]
    assert [row[:2] for row in words] == [["0.250", "1:23"], ["0.200", "p."], ["0.100", str(tmp_path / "cat.png")]]
    assert words[1][2] == "3"
    assert "1:02:03" in words[0]


def test_each_moment_has_a_line_where_that_is_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [" ".join(columns(line)).split() for line in printed(capsys, tmp_path, moments=True)[2:]]
    assert [row[:2] for row in words] == [
        ["0.250", "1:23"], ["0.250", "1:23-1:30"], ["0.200", "0:00-1:23"],
        ["0.200", "p."], ["0.200", "p."], ["0.100", "p."], ["0.100", str(tmp_path / "cat.png")],
    ]  # fmt: skip
    assert words[1][2:] == ["and", "a", "goal"]


def test_photos_alone_have_no_such_column(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Results(moments=True).give(hits(tmp_path)[2:], "a cat", Shown(200.0, {}), "", None)
    assert "Moment" not in capsys.readouterr().out


@pytest.mark.parametrize(("player", "option"), [("mpv", "--start=83.000"), ("vlc", "--start-time=83.000")])
def test_a_player_begins_at_the_moment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, player: str, option: str
) -> None:
    (tmp_path / "clip.mp4").touch()
    program = tmp_path / player
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/draft" && mv "{tmp_path}/draft" "{tmp_path}/said"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.delenv("BROWSER", raising=False)
    Results(open=True).give(hits(tmp_path), "a goal", Shown(200.0, {}), "", None)
    said = tmp_path / "said"
    for _ in range(600):
        if said.exists():
            break
        time.sleep(0.05)
    assert said.read_text().splitlines() == [option, "--", str(tmp_path / "clip.mp4")]
