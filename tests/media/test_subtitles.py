"""Subtitles: what is said from when to when, in every encoding, and which moments and files it belongs to."""

from __future__ import annotations

import io

import numpy as np
import pytest
from films import Making, film, photos

from mmsearch.media.decode import decode
from mmsearch.media.subtitles import LARGEST, Cue, cues_in_parts, decoded, read_subtitles, subtitles_of
from mmsearch.types import Part, Preprocess

SRT = """1
00:00:01,000 --> 00:00:02,500
Grüße aus <i>Köln</i>,
<font color="#ff0000">Frau Müller</font>

2
00:00:02,600 --> 00:00:04,000 X1:100 X2:200 Y1:1 Y2:9
{\\an8}- Who? \\h
- {b:1}Me &amp; you

3
00:01:00,5 --> 00:00:59,000
No end

4
00:00:05,000 --> 00:00:06,000
...
"""
CUES = [
    Cue(1000, 2500, "Grüße aus Köln, Frau Müller"),
    Cue(2600, 4000, "- Who? - Me & you"),
    Cue(60_500, 63_500, "No end"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_subrip_in_any_encoding(encoding: str, ends: str) -> None:
    assert read_subtitles(SRT.replace("\n", ends).encode(encoding), ".srt") == CUES


def test_subrip_without_numbers_and_without_empty_lines() -> None:
    text = "0:00:01.0 --> 0:00:02.0\na\n00:00:02,000-->00:00:03,000\nb"
    assert read_subtitles(text.encode(), ".SRT") == [Cue(1000, 2000, "a"), Cue(2000, 3000, "b")]


def test_webvtt() -> None:
    text = """WEBVTT - a title

NOTE 00:00:09.000
this is a note

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start position:0%
<v Anna>Look, <c.yellow>a <00:01.500>dog</c>!</v>

01:00:00.000 --> 01:00:01.000
An hour later
"""
    assert read_subtitles(text.encode(), ".vtt") == [
        Cue(1000, 2000, "Look, a dog!"),
        Cue(3_600_000, 3_601_000, "An hour later"),
    ]


def test_substation_alpha() -> None:
    text = """[Script Info]
Title: x
[V4+ Styles]
Format: Name, Fontname
Style: Default,Arial
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:02.00,0:00:03.50,Default,,0,0,0,,{\\i1}Second{\\i0}, with, commas\\Nand a line
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,First
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100
Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,a note
"""
    wanted = [Cue(1000, 2000, "First"), Cue(2000, 3500, "Second, with, commas and a line")]
    assert read_subtitles(text.encode("utf-8-sig"), ".ass") == wanted
    old = (
        text.replace("[V4+ Styles]", "[V4 Styles]")
        .replace("Layer,", "Marked,")
        .replace("Dialogue: 0", "Dialogue: Marked=0")
    )
    assert read_subtitles(old.encode(), ".ssa") == wanted


@pytest.mark.parametrize("suffix", [".srt", ".vtt", ".ass", ".ssa"])
def test_what_are_no_subtitles_says_nothing_and_quickly(suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 2**20, np.uint8).tobytes()
    for content in (b"", b"\xff\xfe", b"\0" * 999, noise, b"{" * 2**20, b"<" * 2**20, b"00:00:01,0 --> " * 2**16):
        assert len(read_subtitles(content, suffix)) < 5


def test_a_file_that_is_too_long_is_read_up_to_there() -> None:
    line = "00:00:01,000 --> 00:00:02,000\n" + "é" * 500 + "\n\n"
    content = line.encode() * (LARGEST // len(line.encode()) + 100)
    whole, *cut = read_subtitles(content, ".srt")[::-1]
    assert whole == Cue(1000, 2000, "é" * 500)
    assert len(cut) <= 1  # each is told once


def test_text_that_is_cut_within_a_letter() -> None:
    assert decoded("né".encode()[:-1]) == "n"
    assert decoded("né".encode("cp1252") + b" ...") == "né ..."


# --- which moments they belong to ------------------------------------------------------------------------------------


def part(start: int, end: int, text: str = "") -> Part:
    return Part(np.zeros((2, 2, 3), np.uint8), start, end, text=text)


def test_a_cue_belongs_to_each_moment_whose_time_it_overlaps() -> None:
    parts = [part(0, 1000), part(1000, 2000), part(2000, 9000, "before"), part(9000, 9500)]
    cues = [Cue(0, 500, "a"), Cue(500, 1500, "b"), Cue(1500, 2000, "c"), Cue(1600, 9100, "long"), Cue(2500, 2600, "a")]
    assert [one.text for one in cues_in_parts(parts, cues)] == ["a\nb", "b\nc\nlong", "before\nlong\na", "long"]
    page = Part(np.zeros((2, 2, 3), np.uint8), text="a page")
    assert cues_in_parts([page], cues) == (page,)
    assert [one.text for one in cues_in_parts(parts, [])] == ["", "", "before", ""]


def test_what_rolls_up_is_said_once() -> None:
    cues = [Cue(0, 10, "one"), Cue(10, 20, "one"), Cue(20, 30, "two")]
    assert [one.text for one in cues_in_parts([part(0, 100)], cues)] == ["one\ntwo"]


# --- which files they are --------------------------------------------------------------------------------------------


def test_subtitles_are_found_by_name() -> None:
    names = [
        "clip.srt", "Clip.EN.srt", "clip.mp4.srt", "clip.mp4.de.vtt", "clip.pt-BR.forced.ass", "clip.sdh.en.ssa",
        "clip.mp4", "clip.txt", "clip 2.srt", "clip2.srt", "other.srt", "clip.holiday notes.srt", "clip", ".srt",
        "my.clip.srt", "clip.2020.srt",
    ]  # fmt: skip
    assert subtitles_of("clip.mp4", names) == [
        "Clip.EN.srt", "clip.mp4.de.vtt", "clip.mp4.srt", "clip.pt-BR.forced.ass", "clip.sdh.en.ssa", "clip.srt",
    ]  # fmt: skip
    assert subtitles_of("clip.2020.mp4", names) == ["clip.2020.srt"]


# --- inside films ----------------------------------------------------------------------------------------------------


def test_subtitles_and_chapters_inside_a_film_belong_to_its_moments() -> None:
    pytest.importorskip("av")
    making = Making(
        "h264 mkv",
        subtitles=[(0.5, 1.5, "<i>Hello</i>\nyou"), (1.8, 3, "there"), (3.5, 3.9, "...")],
        chapters=[(0, 2, "Arrival"), (2, 4, "Chapter 2")],
        sound=4.0,
    )
    found = decode(io.BytesIO(film(photos()[:2], making)), "a.mkv", Preprocess(64))
    assert [one.text for one in found.parts] == ["Arrival\nHello you\nthere", "there"]


def test_chapters_of_an_mp4() -> None:
    pytest.importorskip("av")
    making = Making(chapters=[(0, 2, "At the lake"), (2, 4, "Evening")])
    found = decode(io.BytesIO(film(photos()[:2], making)), "a.mp4", Preprocess(64))
    assert [one.text for one in found.parts] == ["At the lake", "Evening"]
