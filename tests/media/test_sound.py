"""Audio files: what is read of them, in every container, and of broken ones."""

from __future__ import annotations

import io
import itertools
import random

import pytest
from films import film, photos
from hypothesis import given
from hypothesis import strategies as st
from sounds import KINDS, sound, sylt, uslt, with_id3

from mmsearch.errors import ImageError
from mmsearch.media.decode import decode, upright
from mmsearch.media.lyrics import synchronised
from mmsearch.media.sound_parts import MOST_PARTS, TOGETHER, Told, parts_of_sound
from mmsearch.media.subtitles import read_lrc, read_subtitles, subtitles_of
from mmsearch.types import Decoded, Preprocess

pytest.importorskip("av")
LRC = "[ti:A song]\n[00:01.50]first line\n[00:20.00][01:00.00]and again\n[00:24.00]\nno time"


def read(content: bytes, name: str) -> Decoded:
    return decode(io.BytesIO(content), f"/music/{name}", Preprocess(32))


def told(picture: Decoded) -> list[tuple[int | None, int | None, str]]:
    return [(part.start_ms, part.end_ms, part.text) for part in picture.parts]


@pytest.mark.parametrize("suffix", KINDS)
def test_each_container(suffix: str) -> None:
    picture = read(sound(suffix, 2.0, title="A title", artist="A singer", LYRICS=LRC), f"a{suffix}")
    assert (picture.width, picture.height, picture.pixels.size, picture.is_sound) == (0, 0, 0, True)
    assert picture.film is not None
    assert picture.film.audio
    assert picture.film.duration_ms == pytest.approx(2000, abs=100)
    if suffix in (".wav", ".aiff", ".aac"):  # their containers have no place for lyrics
        assert [text for *_, text in told(picture)] == [""]
    else:
        assert told(picture) == [
            (1500, 16500, "first line"), (20_000, 24_000, "and again"), (60_000, 63_000, "and again"),
        ]  # fmt: skip
    if suffix not in (".aac", ".mka"):
        assert "A title" in (picture.description or "")
    if suffix in (".flac", ".mp3", ".ogg", ".m4a"):
        assert "A singer" in (picture.description or "")


def test_lyrics_without_times_are_of_the_whole_file() -> None:
    picture = read(with_id3(sound(".mp3", 2.0), uslt("One line\n\n(chorus)\nanother line\nOne line")), "a.mp3")
    ((start, end, text),) = told(picture)
    assert start == 0
    assert end == pytest.approx(2000, abs=100)
    assert text == "One line\n(chorus)\nanother line"


@pytest.mark.parametrize(("encoding", "version"), [(0, 3), (1, 3), (2, 3), (3, 3), (3, 4)])
def test_synchronised_lyrics_of_id3(encoding: int, version: int) -> None:
    frames = uslt("héllo\nworld"), sylt((500, "héllo"), (30_000, "world"), encoding=encoding)
    picture = read(with_id3(sound(".mp3"), *frames, version=version), "a.mp3")
    assert told(picture) == [(500, 30_000, "héllo"), (30_000, 33_000, "world")]


def test_times_in_frames_are_not_taken_for_milliseconds() -> None:
    assert synchronised(io.BytesIO(with_id3(b"", sylt((1, "a"), unit=1)))) == []


@given(st.binary(max_size=60), st.integers(0, 120), st.integers(3, 4))
def test_broken_tags_never_raise(noise: bytes, place: int, version: int) -> None:
    whole = with_id3(b"", sylt((1, "one"), (2, "two")), version=version)
    for content in (whole[:place] + noise + whole[place + len(noise) :], whole[:place], whole[:10] + noise):
        assert all(cue.text for cue in synchronised(io.BytesIO(content)))


def test_what_is_no_sound_says_so() -> None:
    for content, reason in (
        (b"", "empty"), (b"\0" * 5000, "not sound that can be read"), (random.Random(0).randbytes(5000), "not sound"),
        (sound(".flac")[:20], "sound"),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=reason):
            read(content, "a.flac")
    with pytest.raises(ImageError, match="moving pictures"):
        read(film([photos()[0]]), "a.m4a")
    with pytest.raises(ImageError, match="no picture in it"):
        upright(io.BytesIO(sound()), "/a.flac", 64)


def test_a_playlist_is_no_sound() -> None:
    """It could name other files and addresses."""
    for text in ("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile /a"):
        with pytest.raises(ImageError):
            read(text.encode(), "a.mp3")


def test_lrc() -> None:
    text = "[offset:+500]\n[00:02.00]<00:02.00>one <00:02.50>two\n[0:01]zero\n[99:99.99]late\n[xx:00]no\n[00:05.00]"
    assert [tuple(cue) for cue in read_lrc(text)][:2] == [(500, 1500, "zero"), (1500, 4500, "one two")]
    assert read_subtitles(LRC.encode(), ".LRC") == read_lrc(LRC)
    assert read_lrc("no times\nat all") == []
    assert subtitles_of("song.mp3", ["song.lrc", "song.mp3.en.srt", "song.wav.srt", "other.lrc"]) == [
        "song.lrc", "song.mp3.en.srt",
    ]  # fmt: skip


words = st.builds(
    lambda start, length, source, text: Told(start, start + length, source, text),
    st.integers(0, 400_000), st.integers(0, 60_000), st.sampled_from(["inside", "beside", "speech"]),
    st.text("abc", min_size=1, max_size=3),
)  # fmt: skip


@given(st.integers(0, 10_000_000), st.lists(words, max_size=30))
def test_parts_hold_every_word_in_its_time_and_come_again(duration_ms: int, said: list[Told]) -> None:
    parts = parts_of_sound(duration_ms, said)
    for one in said:
        assert any(
            part.start_ms <= one.start_ms and part.end_ms >= one.end_ms and one.text in part.lines.get(one.source, ())
            for part in parts
        )
    assert [part.start_ms for part in parts] == sorted(part.start_ms for part in parts)
    step = max(TOGETHER, -(-duration_ms // MOST_PARTS))
    short = [part.start_ms for part in parts if part.end_ms - part.start_ms <= step]
    assert all(later - earlier >= step for earlier, later in itertools.pairwise(short)) or len(short) < 2
    again = [Told(part.start_ms, part.end_ms, source, text) for part in parts for source, text in part.words().items()]
    assert [(one.start_ms, one.end_ms, one.words()) for one in parts_of_sound(duration_ms, again)] == [
        (one.start_ms, one.end_ms, one.words()) for one in parts
    ]
