"""The decoder from region tokens to pixels: its linear map by hand, two steps of training, and its small graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import SourceError, TrainingError
from mmsearch.search.sketches import SketchCard, Sketches
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.common.session import RunOptions
from mmsearch.training.generation import features
from mmsearch.training.generation.sketches import data, export, token_map, trainer
from mmsearch.training.generation.sketches.data import SketchData
from mmsearch.training.generation.sketches.models import SketchDecoder
from mmsearch.training.generation.sketches.recipe import SketchRecipe
from mmsearch.training.generation.sketches.trainer import SketchTrainer

SMALL = SketchRecipe(steps=2, batch=4, width=16, crop=32, critic_width=4, settled=0.5, judged=4, dev_every=1)


@pytest.fixture(scope="module")
def drawn(encoder: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with features of drawn pictures: discs of several colours and places."""
    folder = tmp_path_factory.mktemp("drawn")
    names = []
    for number, colour in enumerate(("red", "green", "blue", "yellow", "black", "white")):
        picture = Image.new("RGB", (120, 80), "grey")
        left = 15 * number
        ImageDraw.Draw(picture).ellipse((left, 10, left + 40, 50), fill=colour)
        names.append(f"{number}.png")
        picture.save(folder / names[-1])
    pairs = Pairs(folder, tuple(names), tuple((name,) for name in names))
    for split in ("train", "dev"):
        features.write(encoder, EMBEDDED, pairs, folder / "work" / "features" / split, parts=("pictures",))
        data.write_pixels(encoder, pairs, folder / "work" / "features" / split)
    return folder / "work"


@pytest.fixture(scope="module")
def seen(drawn: Path) -> SketchData:
    return data.load(drawn / "features" / "train")


@pytest.fixture(scope="module")
def trained(drawn: Path, seen: SketchData) -> dict[str, float]:
    return SketchTrainer(seen, seen, SMALL, drawn / "sketches", RunOptions()).run({})


def test_pixels_are_the_photo_as_the_encoder_sees_it(drawn: Path, seen: SketchData) -> None:
    with Image.open(drawn.parent / "2.png") as picture:
        squashed = np.asarray(picture.convert("RGB").resize((128, 128), Image.Resampling.BICUBIC))
    assert np.array_equal(seen.pixels[2], squashed)
    with pytest.raises(SourceError, match=r"lacks vectors.npy, regions.npy, pixels.npy"):
        data.load(drawn / "nothing")


def test_the_linear_map_is_least_squares_over_neighbours() -> None:
    rng = np.random.default_rng(0)
    tokens, pixels = (torch.from_numpy(rng.random(shape, np.float32)) for shape in ((30, 49, 2), (30, 3, 128, 128)))
    decoder = SketchDecoder(2, 7, 16)
    decoder.fit_linear([(tokens[:20], pixels[:20]), (tokens[20:], pixels[20:])], ridge=0.0)
    small = F.adaptive_avg_pool2d(pixels, 56).numpy()
    wanted = small - small.mean(axis=0)
    grid = np.pad(tokens.numpy().reshape(30, 7, 7, 2), ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, targets = [], []
    for top in range(7):
        for left in range(7):
            rows.append(grid[:, top : top + 3, left : left + 3].reshape(30, -1))
            targets.append(wanted[:, :, 8 * top : 8 * top + 8, 8 * left : 8 * left + 8].reshape(30, -1))
    x, y = np.concatenate(rows).astype(np.float64), np.concatenate(targets)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    found = F.pixel_shuffle(decoder.linear(decoder.grid(tokens)), 8).detach().numpy()
    made = found[:, :, 24:32, 16:24].reshape(30, -1)  # the cell in row 3 and column 2
    assert np.allclose(made, rows[3 * 7 + 2] @ best, atol=1e-3)


def test_two_steps_of_training_with_the_discriminator(drawn: Path, trained: dict[str, float]) -> None:
    assert set(trained) == {"pixels", "states", "own_photo"}
    assert 0 < trained["pixels"] < 0.3
    decoder, recipe, figures = trainer.load(drawn / "sketches")
    assert (recipe, figures) == (SMALL, trained)
    lines = (drawn / "sketches" / "log.jsonl").read_text().splitlines()
    assert "critic" in lines[-2] or "critic" in lines[-1]  # it had joined in
    assert bool(decoder.end.weight.any())  # the network learned something beside the linear map


def test_what_cannot_be_trained_is_said(drawn: Path, seen: SketchData) -> None:
    few = SketchData(seen.regions, seen.pixels, seen.rows[:2])
    with pytest.raises(TrainingError, match="2 photos to learn from and 6 of dev can be read; a decoder wants 4"):
        SketchTrainer(few, seen, SMALL, drawn / "x", RunOptions())
    with pytest.raises(TrainingError, match=r"cannot be read .*; train a decoder there first"):
        trainer.load(drawn / "nothing")
    for wrong, said in (({"width": 12}, "multiple of 8"), ({"steps": 0}, "at least 1"), ({"crop": 8}, "from 32 to 128"),
                        ({"settled": 2.0}, "in .0, 1."), ({"precision": "int8"}, "bf16 or fp32"),
                        ({"pixels": -1.0}, "not be below 0")):  # fmt: skip
        with pytest.raises(TrainingError, match=said):
            replace(SMALL, **wrong)


def test_the_graphs_say_what_torch_says(
    drawn: Path, seen: SketchData, trained: dict[str, float], tmp_path: Path
) -> None:  # fmt: skip
    card = export.write(drawn, tmp_path, rank=3, spread=0.5)
    assert SketchCard.read(tmp_path) == card
    sketches = Sketches(tmp_path, threads=1)
    decoder, _, _ = trainer.load(drawn / "sketches")
    tokens = seen.regions[:3].astype(np.float32)
    with torch.no_grad():
        wanted = decoder(torch.from_numpy(tokens)).clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255
    made = sketches.draw(tokens)
    assert made.dtype == np.uint8
    assert np.abs(made - wanted).mean() < 2  # int8 kernels
    vectors = np.load(drawn / "features" / "train" / "vectors.npy").astype(np.float32)
    found = token_map.fit(vectors.astype(np.float16), np.asarray(seen.regions), 3)
    noise = 0.5 * np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    with torch.no_grad():
        expected = found(torch.from_numpy(vectors), torch.from_numpy(noise)).numpy()
    assert np.abs(sketches.tokens(vectors) - expected).mean() < 0.05 * np.abs(expected).mean()
    assert {file.suffix for file in tmp_path.iterdir()} == {".onnx", ".json"}
    onnxruntime.InferenceSession(str(tmp_path / "sketch.onnx"), providers=["CPUExecutionProvider"])


def test_the_map_to_tokens_is_the_conditional_gaussian() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((4000, 4))
    plain = vectors @ rng.standard_normal((4, 3)) + rng.standard_normal((4000, 3)) * (0.5, 1.0, 2.0)
    regions = plain.reshape(4000, 1, 3)
    made = token_map.fit(vectors.astype(np.float16), regions.astype(np.float16), 3, ridge=0.0)
    best = np.linalg.lstsq(np.c_[vectors, np.ones(4000)], plain, rcond=None)[0]
    with torch.no_grad():
        given = torch.from_numpy(vectors.astype(np.float32))
        found = made(given, torch.zeros(4000, 3)).numpy()[:, 0]
        drawn = made(given, torch.from_numpy(rng.standard_normal((4000, 3)).astype(np.float32))).numpy()[:, 0]
    assert np.allclose(found, np.c_[vectors, np.ones(4000)] @ best, atol=0.05)
    assert np.cov((drawn - found).T) == pytest.approx(np.cov((plain - found).T), abs=0.25)
