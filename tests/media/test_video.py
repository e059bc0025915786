"""Films of which is known what they show when: the moments that are found, and the frame of any moment."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from films import RATE, SIZE, TESTED, Making, Shot, encoded, film, photos, sound, without_beginning
from PIL import Image

from mmsearch.errors import ImageError
from mmsearch.media import video, video_frames
from mmsearch.media.decode import decode, decode_photo, prepare, upright
from mmsearch.media.kinds import kind_of
from mmsearch.media.video import decode_video, upright_frame
from mmsearch.types import Decoded, Film, Pixels, Preprocess

pytest.importorskip("av")
SMALL = Preprocess(size=64)
CLOSE = 8.0  # mean difference of a frame from its picture, of 255; two pictures differ by 60 and more
PHOTOS = photos()


def read(content: bytes, path: str = "a.mp4", preprocess: Preprocess = SMALL) -> Decoded:
    return decode(io.BytesIO(content), path, preprocess)


def reason(content: bytes, path: str = "a.mp4") -> str:
    with pytest.raises(ImageError) as caught:
        read(content, path)
    assert caught.value.path == path
    return caught.value.reason


def away(found: Pixels, wanted: Pixels) -> float:
    """Mean difference of two pictures; of a prepared one from what ``prepare`` makes of a picture."""
    if found.shape != wanted.shape:
        wanted = prepare(Image.fromarray(wanted), SMALL)
    return float(np.abs(found.astype(int) - wanted).mean())


def shown(found: Pixels, among: tuple[Pixels, ...] = PHOTOS) -> int | None:
    """The number of the photo that it is; None where it is none of them."""
    differences = [away(found, one) for one in among]
    best = int(np.argmin(differences))
    return best if differences[best] < CLOSE else None


def times(found: Decoded) -> list[tuple[int | None, int | None]]:
    return [(part.start_ms, part.end_ms) for part in found.parts]


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="of POSIX systems but macOS")
@pytest.mark.parametrize("codec", TESTED)
def test_making_a_film_takes_no_cores_from_others(codec: str) -> None:
    """Where tests run as root, SVT-AV1 makes who calls it a real-time thread, and leaves it so."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    film(PHOTOS[:2], Making(codec))
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before


# --- moments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", TESTED)
def test_each_picture_is_a_moment_from_when_it_is_shown_to_the_next(codec: str) -> None:
    found = read(film(PHOTOS[:4], Making(codec)))
    name, container = codec.split()
    assert (found.width, found.height, found.format) == (*SIZE, {"mts": "mpegts"}.get(container, container))
    assert found.film == Film(8000, float(RATE), name, audio=False)
    assert found.damage is None
    assert [shown(part.pixels) for part in found.parts if (part.end_ms or 0) - (part.start_ms or 0) > 1000] == [
        0,
        1,
        2,
        3,
    ]
    assert found.parts[0].start_ms == 0
    assert found.parts[-1].end_ms == 8000
    for part, following in zip(found.parts, found.parts[1:], strict=False):
        assert part.end_ms == following.start_ms
    for number in range(1, 4):  # a film of nothing but keyframes is looked at once a second
        begun = next(part.start_ms for part in found.parts if shown(part.pixels) == number)
        assert begun is not None
        assert 0 <= begun - 2000 * number <= (900 if codec == "prores mov" else 0)
    assert all(part.at_ms == part.start_ms for part in found.parts)
    assert any(np.array_equal(found.pixels, part.pixels) for part in found.parts)


@pytest.mark.parametrize("codec", TESTED)
@pytest.mark.parametrize("keyframes", [{}, {"g": "1000", "sc_threshold": "0"}], ids=["at cuts", "one"])
def test_the_frame_of_any_time_is_the_picture_that_is_shown_then(codec: str, keyframes: dict[str, str]) -> None:
    content = film(PHOTOS[:3], Making(codec, sound=6.0 if "mp4" in codec else 0.0, options=keyframes))
    for at_ms, number in [
        (0, 0),
        (1000, 0),
        (1916, 0),
        (1999, 0),
        (2001, 1),
        (3999, 1),
        (4001, 2),
        (5990, 2),
        (90_000, 2),
    ]:
        frame = np.asarray(upright_frame(io.BytesIO(content), "a", at_ms, 160))
        assert shown(frame) == number, at_ms


def test_the_frame_of_a_time_is_exact() -> None:
    ramp = [np.full((120, 160, 3), 10 * number + 5, np.uint8) for number in range(24)]
    content = encoded(ramp, Making(options={"qp": "0", "g": "1000"}))
    for number in range(24):
        for within in (0.01, 0.5, 0.99):
            frame = upright_frame(io.BytesIO(content), "a", round(1000 * (number + within) / RATE), 160)
            assert abs(float(np.asarray(frame).mean()) - (10 * number + 5)) < 4


def test_a_frame_is_scaled_and_only_made_larger_when_asked() -> None:
    content = film(PHOTOS[:1])
    assert upright_frame(io.BytesIO(content), "a", 0, 80).size == (80, 60)
    assert upright_frame(io.BytesIO(content), "a", 0, 640).size == (160, 120)
    assert upright_frame(io.BytesIO(content), "a", 0, 640, enlarge=True).size == (640, 480)
    assert upright(io.BytesIO(content), "a.mp4", 640).size == (640, 480)


def test_one_keyframe_hides_no_cut() -> None:
    found = read(film([Shot(one, 1.5) for one in PHOTOS], Making(options={"g": "1000", "sc_threshold": "0"})))
    assert [shown(part.pixels) for part in found.parts] == [0, 1, 2, 3, 4, 5]
    assert [part.start_ms for part in found.parts] == [0, 1500, 3000, 4500, 6000, 7500]


def test_a_short_scene_between_two_keyframes_is_seen_by_the_size_of_its_first_frame() -> None:
    found = read(
        film(
            [Shot(PHOTOS[0], 1.25), Shot(PHOTOS[1], 1), Shot(PHOTOS[2], 1)],
            Making(options={"g": "1000", "sc_threshold": "0"}),
        )
    )
    assert [shown(part.pixels) for part in found.parts] == [0, 1, 2]
    assert [part.start_ms for part in found.parts] == pytest.approx(
        [0, 1250, 2250], abs=100
    )  # a frame of two is decoded


def test_a_picture_that_stays_is_one_moment() -> None:
    found = read(film([Shot(PHOTOS[0], 12), Shot(PHOTOS[1], 2)], Making(options={"g": "12"})))
    assert times(found) == [(0, 12000), (12000, 14000)]


def test_a_line_more_is_another_moment() -> None:
    page = np.full((240, 320, 3), 255, np.uint8)
    more = page.copy()
    more[100:108, 40:140:3] = 0
    found = read(film([Shot(page, 3), Shot(more, 3)]), preprocess=Preprocess(size=224))
    assert times(found) == [(0, 3000), (3000, 6000)]


def test_a_pan_is_looked_at_a_step_apart() -> None:
    wide = np.concatenate(PHOTOS[:3], axis=1)
    frames = [wide[:, 2 * number : 2 * number + 160] for number in range(10 * RATE + 40)][: 12 * RATE]
    found = read(encoded(frames, Making(options={"g": "1000", "sc_threshold": "0"})))
    starts = [part.start_ms or 0 for part in found.parts]
    assert max(later - start for start, later in zip(starts, [*starts[1:], 12_000], strict=True)) <= 2000 + 1000 / RATE


def test_times_come_from_the_stamps_of_frames_where_the_rate_varies() -> None:
    stamps = [0, 0.5, 3.1, 3.2, 9, 9.5]
    found = read(encoded(PHOTOS, Making(times=stamps)))
    assert [(part.start_ms, shown(part.pixels)) for part in found.parts] == [
        (round(1000 * at), number) for number, at in enumerate(stamps)
    ]
    assert shown(np.asarray(upright_frame(io.BytesIO(encoded(PHOTOS, Making(times=stamps))), "a", 8999, 160))) == 3


def test_keyframes_that_come_out_of_order_are_sorted() -> None:
    options = {
        "x265-params": "log-level=none:pools=none:frame-threads=1:keyint=6:min-keyint=6:scenecut=0:open-gop=1:bframes=4"
    }
    found = read(film([Shot(one, 1) for one in PHOTOS], Making("hevc mp4", options=options)))
    starts = [part.start_ms or 0 for part in found.parts]
    assert starts == sorted(starts)
    assert [shown(part.pixels) for part in found.parts] == [start // 1000 for start in starts]
    assert set(starts) >= {0, 1000, 2000, 3000, 4000, 5000}


def test_a_film_without_a_length_in_its_header() -> None:
    found = read(film(PHOTOS[:3], Making(muxer={"movflags": "frag_keyframe+empty_moov"})))
    assert times(found) == [(0, 2000), (2000, 4000), (4000, 6000)]
    assert found.damage is None


def test_sound_that_begins_before_or_lasts_longer_changes_nothing() -> None:
    found = read(film(PHOTOS[:2], Making("h264 mkv", sound=4.8)), "a.mkv")
    assert [shown(part.pixels) for part in found.parts] == [0, 1]
    assert found.film is not None
    assert (found.film.audio, found.damage) == (True, None)


def test_a_film_that_was_cut_between_two_keyframes_begins_there() -> None:
    content = film([Shot(one, 3) for one in PHOTOS[:3]], Making(options={"g": "60", "sc_threshold": "0"}))
    found = read(without_beginning(content, 1.5))
    assert [shown(part.pixels) for part in found.parts] == [0, 1, 2]
    assert [part.start_ms for part in found.parts] == pytest.approx([0, 1500, 4500], abs=150)
    assert found.damage is None
    assert shown(np.asarray(upright_frame(io.BytesIO(without_beginning(content, 1.5)), "a", 1000, 160))) == 0


def test_sound_that_lasts_longer_is_no_damage() -> None:
    found = read(film(PHOTOS[:2], Making("h264 mkv", sound=9.0)), "a.mkv")
    assert (found.damage, [shown(part.pixels) for part in found.parts]) == (None, [0, 1])


# --- the frame that shows a film -------------------------------------------------------------------------------------


def test_neither_a_dark_beginning_nor_an_empty_frame_shows_a_film() -> None:
    black, grey = np.zeros((120, 160, 3), np.uint8), np.full((120, 160, 3), 128, np.uint8)
    content = film([Shot(black, 2), Shot(grey, 2), Shot(PHOTOS[2], 2), Shot(black, 2)])
    assert shown(read(content).pixels) == 2
    assert shown(np.asarray(upright(io.BytesIO(content), "a.mp4", 160))) == 2
    assert float(read(film([black])).pixels.mean()) < 3  # there is nothing else


# --- limits ----------------------------------------------------------------------------------------------------------


def test_there_are_never_more_than_so_many_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_frames, "MOST_FRAMES", 10)
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (16, 24, 3), np.uint8).repeat(4, 0).repeat(4, 1) for _ in range(30 * RATE)]
    for making in (Making(options={"g": "1"}), Making(options={"g": "1000"})):
        found = read(encoded(frames, making))
        assert 5 <= len(found.parts) <= 11
    found = read(encoded(frames, Making("h264 mkv", options={"g": "1"}, muxer={"live": "1"})), "a.mkv")  # no length
    starts = [part.start_ms or 0 for part in found.parts]
    assert 5 <= len(starts) <= 11
    assert max(np.diff(starts)) <= 8000


def test_a_film_that_takes_too_long_ends_early_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_PIXELS", 2.5 * SIZE[0] * SIZE[1])
    found = read(film(PHOTOS))
    assert [shown(part.pixels) for part in found.parts] == [0, 1]
    assert found.damage == "what comes after 0:04 was not looked at: it takes too long"


def test_large_frames_are_refused() -> None:
    with pytest.raises(ImageError) as caught:
        decode(io.BytesIO(film(PHOTOS[:1])), "a.mp4", SMALL, max_megapixels=0.019)
    assert caught.value.reason == "160 x 120 pixels a frame, over the limit of 0.019 megapixels"
    assert caught.value.retry


# --- what is no film -------------------------------------------------------------------------------------------------


def cover() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PHOTOS[0]).save(file, "JPEG")
    return file.getvalue()


def test_what_is_no_film_is_refused_in_words() -> None:
    nonsense = "not a video that can be read: it is damaged or cut off at its beginning, or something else"
    assert reason(b"") == "the file is empty"
    assert reason(b"hello there\n" * 100) == nonsense
    assert reason(bytes(5000)) == nonsense
    assert reason(sound()) == "there are no moving pictures in it, only sound"
    assert reason(sound(cover=cover())) == "there are no moving pictures in it, only sound beside a still picture"
    assert reason(film(PHOTOS[:1])[:3000]) == (
        "it is cut off: the table of its frames, which stands at its end, is missing"
    )


def test_a_picture_that_is_attached_is_not_part_of_the_film() -> None:
    found = read(film(PHOTOS[1:3], Making("h264 mkv", cover=cover())), "a.mkv")
    assert [shown(part.pixels) for part in found.parts] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile '{}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>{}</BaseURL></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_no_file_makes_another_one_read(text: str, tmp_path: object) -> None:
    path = f"{tmp_path}/b.mp4"
    with open(path, "wb") as file:
        file.write(film(PHOTOS[:1]))
    for name in ("a.mp4", "a.mkv", "a.avi"):
        assert "not a video that can be read" in reason(text.format(path).encode(), name)


def test_a_photo_that_is_called_like_a_film_is_a_photo_and_the_other_way_round() -> None:
    assert read(cover(), "a.mp4").format == "jpeg"
    found = read(film(PHOTOS[:2]), "a.jpg")
    assert (found.format, len(found.parts)) == ("mp4", 2)


@pytest.mark.parametrize("codec", TESTED)
def test_films_are_known_by_their_first_bytes(codec: str) -> None:
    assert kind_of(io.BytesIO(film(PHOTOS[:1], Making(codec))), "a") == "video"


def test_a_photo_brings_neither_of_the_libraries() -> None:
    program = (
        "import io, sys\n"
        "from PIL import Image\n"
        "from mmsearch.media.decode import decode\n"
        "from mmsearch.types import Preprocess\n"
        "file = io.BytesIO()\n"
        "Image.new('RGB', (9, 9)).save(file, 'PNG')\n"
        "decode(file, 'a.png', Preprocess(size=8))\n"
        "print(sorted({'av', 'pypdfium2', 'mmsearch.media.video', 'mmsearch.media.document'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_film_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    content = film(PHOTOS[:1])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImageError) as caught:
        decode_video(io.BytesIO(content), "a.mp4", SMALL)
    assert (caught.value.reason, caught.value.retry) == ("a video needs the extra: pip install 'mmsearch[video]'", True)


def test_the_decoder_of_photos_does_not_take_films() -> None:
    with pytest.raises(ImageError, match="not a picture that can be read"):
        decode_photo(io.BytesIO(film(PHOTOS[:1])), "a.mp4", SMALL)
