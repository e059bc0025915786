"""Generators of picture features: their parts by hand-worked values, and a few steps on real photos."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import SAMPLES
from scipy import linalg
from small_models import CAPTIONS
from torch import Tensor, nn

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import SourceError, TrainingError
from mmsearch.rerank.resolve import SHIPPED
from mmsearch.rerank.words import WordEncoder
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.common.progress import TrainProgress
from mmsearch.training.common.session import RunOptions
from mmsearch.training.generation import features, judging, models, objectives, trainer
from mmsearch.training.generation.latents import LatentSpace, moments
from mmsearch.training.generation.recipe import FLOW, GAN, LINEAR, MLP, UNMATCHED, WAYS, GenerationRecipe
from mmsearch.training.generation.trainer import GeneratorTrainer

WORDS = SHIPPED / "words.onnx"
SMALL = GenerationRecipe(
    way=MLP, steps=4, batch=8, width=32, region_rank=4, noise=8, dev_every=2, samples=3, integration=4, ema=0.5, lr=5e-3
)


class Killed(BaseException):
    """Ends a run in the middle of it, as a signal would."""


@pytest.fixture(scope="module")
def taught() -> Pairs:
    """Eight photos with two captions each, where they lie."""
    return Pairs(SAMPLES, tuple(CAPTIONS), tuple((text, f"this is {text}") for text in CAPTIONS.values()))


@pytest.fixture(scope="module")
def written(taught: Pairs, encoder: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory) -> features.Features:
    folder = tmp_path_factory.mktemp("features")
    features.write(encoder, WORDS, taught, folder)
    return features.load(folder)


def weights(out: Path) -> dict[str, Tensor]:
    return trainer.load(out)[0].state_dict()


def test_features_are_what_the_model_says(written: features.Features, taught: Pairs, encoder: OnnxEncoder) -> None:
    texts = [text for own in taught.texts for text in own]
    reader = WordEncoder(encoder.folder, WORDS)
    for row, text in enumerate(texts):
        states, mask = reader([text])
        vectors, own, there = written.captions(np.array([row]))
        assert np.allclose(vectors.numpy(), encoder.encode_texts([text]), atol=2e-3)
        assert np.allclose(own.numpy(), states, atol=2e-2)
        assert there.numpy().tolist() == mask.tolist()
    assert written.owner.tolist() == [row for row, own in enumerate(taught.texts) for _ in own]
    assert written.usable().tolist() == list(range(len(texts)))


def test_features_go_on_where_they_were_killed(taught: Pairs, encoder: OnnxEncoder, tmp_path: Path) -> None:
    many = Pairs(taught.folder, 3 * taught.names, 3 * taught.texts)  # 24 pictures, 48 texts: two batches of each

    def stop(done: int, total: int) -> None:
        raise Killed

    for _ in range(3):  # after each batch of the texts, and after the first one of the pictures
        with pytest.raises(Killed):
            features.write(encoder, WORDS, many, tmp_path / "one", stop, every=1)
    told: list[int] = []
    features.write(encoder, WORDS, many, tmp_path / "one", lambda done, total: told.append(done), every=1)
    assert told == [24]  # nothing is done again
    features.write(encoder, WORDS, many, tmp_path / "two")
    for file in sorted((tmp_path / "two").glob("*.npy")):
        one = np.load(tmp_path / "one" / file.name)  # up to rounding: the encoder chooses how many it runs at once
        assert np.allclose(np.load(file).astype(float), one.astype(float), rtol=0.01, atol=0.01), file.name


def test_features_of_other_data_are_not_mixed(taught: Pairs, encoder: OnnxEncoder, tmp_path: Path) -> None:
    features.write(encoder, WORDS, taught.keep([0]), tmp_path / "features")
    with pytest.raises(TrainingError, match="features of other photos or another model; remove it"):
        features.write(encoder, WORDS, taught.keep([1]), tmp_path / "features")
    with pytest.raises(SourceError, match="lacks features: vectors, regions, texts, words, starts, owner"):
        features.load(tmp_path / "nothing")


def test_a_photo_that_cannot_be_read_has_no_captions_to_learn_from(
    pairs: Pairs, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    (pairs.folder / pairs.names[1]).write_bytes(b"no picture")
    features.write(encoder, WORDS, pairs.keep([0, 1, 2]), tmp_path / "features")
    assert features.load(tmp_path / "features").usable().tolist() == [0, 1, 4, 5]


def test_latents_lead_back_to_vectors_and_regions(written: features.Features) -> None:
    space = LatentSpace.of(moments(written.vectors, written.regions, rank=7))  # all that 8 pictures span
    vectors = torch.from_numpy(written.vectors.astype(np.float32))
    regions = torch.from_numpy(written.regions.astype(np.float32))
    latents = space.encode(vectors, regions)
    assert latents.shape == (8, 512 + 7)
    assert torch.allclose(space.vectors(latents), nn.functional.normalize(vectors, dim=1), atol=1e-4)
    assert torch.allclose(space.regions(latents), regions.flatten(1), atol=5e-2)
    assert float(latents[:, :512].var(dim=0, unbiased=False).mean()) == pytest.approx(1, abs=1e-3)


def test_ridge_regression_is_least_squares_with_rows_that_pull_to_zero() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)).astype(np.float32), rng.standard_normal((40, 3)).astype(np.float32)
    weights, bias = models.ridge_regression(x, y, 0.1)
    centred, aim = x - x.mean(axis=0), y - y.mean(axis=0)
    pull = (0.1 * len(x) * centred.var(axis=0).mean()) ** 0.5
    wanted, *_ = np.linalg.lstsq(np.vstack([centred, pull * np.eye(5)]), np.vstack([aim, np.zeros((5, 3))]), rcond=None)
    assert np.allclose(weights.T, wanted, atol=1e-4)
    assert np.allclose(x.mean(axis=0) @ weights.T + bias, y.mean(axis=0), atol=1e-5)


def test_frechet_distance_by_a_matrix_square_root() -> None:
    rng = np.random.default_rng(0)
    one, other = (
        (rng.standard_normal((50, 4)) @ rng.standard_normal((4, 4)) + shift).astype(np.float32) for shift in (0, 1)
    )
    a, b = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    wanted = np.square(one.mean(0) - other.mean(0)).sum() + np.trace(a + b - 2 * np.real(linalg.sqrtm(a @ b)))
    assert judging.frechet_distance(one, other) == pytest.approx(wanted, rel=1e-4)
    assert judging.frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_diversity_and_gap_by_hand() -> None:
    right, up = [1.0, 0.0], [0.0, 1.0]
    assert judging.diversity(np.array([[right, right], [right, up]], np.float32)) == pytest.approx(0.5)
    assert judging.diversity(np.array([[right]], np.float32)) == 0
    assert judging.modality_gap(
        np.array([right, up], np.float32), np.array([[0.5, -0.5]], np.float32)
    ) == pytest.approx(1)


class Shown(nn.Module):
    """A discriminator that scores a picture by the product of its one value with the text's."""

    def forward(self, latents: Tensor, texts: Tensor) -> Tensor:
        return (latents * texts).sum(dim=1)


def test_matching_aware_hinge_loss_by_hand() -> None:
    real, fake, texts = torch.tensor([[2.0], [-2.0]]), torch.tensor([[0.5], [0.0]]), torch.tensor([[1.0], [-1.0]])
    critic = Shown()
    # real with its text: 2 and 2, no loss; made up: 1.5 and 1; real with the other's text: -2 and -2, no loss
    assert float(objectives.critic_loss(critic, real, fake, texts, 0.0)) == pytest.approx(1.25)  # type: ignore[arg-type]
    assert float(objectives.critic_loss(critic, real, fake, texts, 0.5)) == pytest.approx(0.625)  # type: ignore[arg-type]
    assert float(objectives.generator_loss(critic, fake, texts)) == pytest.approx(-0.25)  # type: ignore[arg-type]
    assert float(objectives.gradient_penalty(critic, real, texts)) == pytest.approx(0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", [MLP, FLOW, GAN])
def test_before_training_every_way_says_what_the_linear_map_says(way: str, written: features.Features) -> None:
    generator = models.Generator(replace(SMALL, way=way), 512, 384, 516).eval()
    text = written.captions(np.arange(3))
    drawn = generator.draw(*text, torch.randn(3, generator.noise))
    assert torch.allclose(drawn, generator.linear(models.plain_features(*text)), atol=1e-4)


def test_padding_changes_nothing(written: features.Features) -> None:
    generator = models.Generator(SMALL, 512, 384, 516).eval()
    nn.init.normal_(generator.end.weight, std=0.1)
    vectors, states, mask = written.captions(np.arange(4))
    noise = torch.empty(4, 0)
    longer = nn.functional.pad(states, (0, 0, 0, 3), value=7.0), nn.functional.pad(mask, (0, 3))
    assert torch.allclose(
        generator.draw(vectors, states, mask, noise), generator.draw(vectors, *longer, noise), atol=1e-4
    )


@pytest.mark.parametrize("way", list(WAYS))
def test_a_few_steps_of_each_way(way: str, written: features.Features, tmp_path: Path) -> None:
    figures = GeneratorTrainer(written, written, replace(SMALL, way=way), tmp_path / way, RunOptions()).run({})
    generator, space, recipe = trainer.load(tmp_path / way)
    again = judging.judge(generator, space, written, trainer.selection_rows(written), recipe.samples)
    assert again == pytest.approx(figures, abs=1e-3)
    drawn = judging.draw_latents(generator, written, np.arange(2), 2, seed=0)  # (2, samples, size)
    assert drawn.shape[1] == (2 if way in (FLOW, GAN, UNMATCHED) else 1)
    assert (drawn.shape[1] > 1) == (not torch.equal(drawn[:, 0], drawn[:, -1]))
    events = [json.loads(line)["event"] for line in (tmp_path / way / "log.jsonl").read_text().splitlines()] if (
        way != LINEAR) else []  # fmt: skip
    assert events == ([] if way == LINEAR else ["dev", "step", "dev"])


@pytest.mark.parametrize("way", [FLOW, GAN])
def test_a_run_that_was_killed_ends_with_the_same_bits(way: str, written: features.Features, tmp_path: Path) -> None:
    recipe = replace(SMALL, way=way)

    def kill(progress: TrainProgress) -> None:
        if progress.done == 3:
            raise Killed

    def run(out: Path, options: RunOptions) -> None:
        GeneratorTrainer(written, written, recipe, out, options).run({"photos": 8})

    run(tmp_path / "whole", RunOptions())
    with pytest.raises(Killed):
        run(tmp_path / "killed", RunOptions(save_every=0, progress=kill))
    run(tmp_path / "killed", RunOptions(resume=True))
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    with pytest.raises(TrainingError, match="is finished; there is nothing to resume"):
        run(tmp_path / "killed", RunOptions(resume=True))


def test_an_mlp_learns_the_photos_that_it_is_shown(written: features.Features, tmp_path: Path) -> None:
    recipe = replace(SMALL, steps=80, dev_every=80, dropout=0.0, ridge=100.0, ema=0.9)
    learned = GeneratorTrainer(written, written, recipe, tmp_path / "mlp", RunOptions()).run({})
    assert learned["R@1"] == 100
    assert learned["cosine"] > 0.95


def test_wrong_recipes_say_what_is_wrong() -> None:
    with pytest.raises(TrainingError, match="no way to generate called 'vae'; there are linear, mlp, flow, gan"):
        GenerationRecipe(way="vae")
    with pytest.raises(TrainingError, match="width must be a multiple of heads: 30 is none of 4"):
        GenerationRecipe(width=30)
    with pytest.raises(TrainingError, match=r"mismatched must be in \[0, 1\), not 1"):
        GenerationRecipe(mismatched=1.0)


def test_too_few_photos_are_said(written: features.Features, tmp_path: Path) -> None:
    few = features.Features(
        written.vectors[:2], written.regions[:2], written.texts[:4], written.words, written.owner[:4]
    )
    with pytest.raises(TrainingError, match="2 photos can be read; a generator wants 8 at least"):
        GeneratorTrainer(few, few, SMALL, tmp_path / "out", RunOptions())


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mmsearch.training.generation", "--data", str(tmp_path / "nothing")]
    out = subprocess.run([*command, "--work", str(tmp_path)], capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout) == (1, "")
    assert "nothing/dev.txt cannot be read: No such file or directory" in out.stderr
