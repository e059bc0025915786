"""How many pictures go into a run: tried in turns, chosen where it is clearly quicker, and remembered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmsearch.config import Settings
from mmsearch.encoders.onnx.batch_tuning import ROUNDS, SIZES, Pace
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library


def tried(pace: Pace, seconds: dict[int, float], most: int = 16, rounds: int = ROUNDS) -> list[int]:
    """The sizes that it asked for, where each takes so many seconds a picture."""
    sizes = []
    for _ in range(rounds * len(seconds)):
        sizes.append(pace.size(most))
        pace.took(sizes[-1], most, seconds[sizes[-1]])
    return sizes


def test_each_size_is_tried_and_the_quickest_taken(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "runs.json"
    pace = Pace("graph", 1, file)
    assert tried(pace, {1: 0.01, 2: 0.008, 4: 0.006, 8: 0.007}) == [1, 2, 4, 8] * ROUNDS
    assert [pace.size(most) for most in (16, 8, 1)] == [4, 4, 1]
    assert json.loads(file.read_text()) == {"graph, up to 8": 4}
    assert Pace("graph", 1, file).size(16) == 4
    assert Pace("other graph", 1, file).size(16) == 1  # begins to try


def test_what_is_hardly_quicker_is_not_taken() -> None:
    pace = Pace("graph", 8)
    tried(pace, {1: 0.0097, 2: 0.0098, 4: 0.012, 8: 0.01})
    assert pace.size(16) == 8


def test_one_busy_moment_decides_nothing() -> None:
    pace = Pace("graph", 1)
    seconds = {1: 0.01, 2: 0.005, 4: 0.02, 8: 0.02}
    for number in range(ROUNDS * len(SIZES)):
        size = pace.size(16)
        pace.took(size, 16, 10 * seconds[size] if number < 3 * len(SIZES) else seconds[size])
    assert pace.size(16) == 2


def test_fewer_pictures_are_another_question(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    pace = Pace("graph", 8, file)
    tried(pace, {1: 0.01, 2: 0.005}, most=3)
    assert (pace.size(3), pace.size(2)) == (2, 2)
    assert tried(pace, {1: 0.01, 2: 0.005, 4: 0.004, 8: 0.003}) == [1, 2, 4, 8] * ROUNDS
    assert json.loads(file.read_text()) == {"graph, up to 2": 2, "graph, up to 8": 8}


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"graph, up to 8": "many"}', b'{"graph, up to 8": 3}', b"\xff"])
def test_a_damaged_file_is_measured_anew(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "runs.json"
    file.write_bytes(content)
    pace = Pace("graph", 1, file)
    tried(pace, {1: 0.01, 2: 0.01, 4: 0.01, 8: 0.001})
    assert json.loads(file.read_text())["graph, up to 8"] == 8


def test_a_file_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "runs.json").mkdir()
    pace = Pace("graph", 1, tmp_path / "runs.json")
    tried(pace, {1: 0.01, 2: 0.01, 4: 0.01, 8: 0.001})
    assert pace.size(16) == 8


def test_an_encoder_measures_while_it_encodes(encoder: OnnxEncoder, tmp_path: Path) -> None:
    measuring = OnnxEncoder(encoder.folder, threads=2)
    measuring.measured = tmp_path / "runs.json"
    size = encoder.card.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), np.uint8)
    first = measuring.encode_images(pixels)
    for _ in range(2 * ROUNDS - 1):
        np.testing.assert_allclose(measuring.encode_images(pixels), first, atol=1e-5)
    ((key, chosen),) = json.loads((tmp_path / "runs.json").read_text()).items()
    assert key.startswith(encoder.card.fingerprint)
    assert key.endswith("up to 2")
    assert chosen in (1, 2)


def test_a_library_remembers_it_in_the_cache(settings: Settings, photos: Path) -> None:
    with open_library(settings.library, settings=settings) as library:
        encoder = library.models.named("embedded")
        assert isinstance(encoder, OnnxEncoder)
        assert encoder.measured == settings.cache / "runs.json"
        library.index(photos, model="embedded")
        found = library.encoder()
        assert isinstance(found, OnnxEncoder)
        assert found.measured == settings.cache / "runs.json"
