"""What a trained model has beside its weights: it reads, answers and judges as the model did that it came from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_photos import draw
from samples import SAMPLES
from shared import made_once
from small_models import small_trainee
from small_reranker import write_reranker

from mmsearch.config import Settings
from mmsearch.encoders.agreement import pictures
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import ModelCard
from mmsearch.evaluation.answerable import fit
from mmsearch.library.opening import open_library
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.search import presence, querybank
from mmsearch.search.calibration import FILE, Calibration, Logistic
from mmsearch.search.presence import Presence
from mmsearch.training.common.pairs import Pairs
from mmsearch.training.common.session import RunOptions
from mmsearch.training.contrastive import companions
from mmsearch.training.contrastive.companions import NEEDED, Companions, Scale
from mmsearch.training.contrastive.embedded_trainee import EmbeddedTrainee
from mmsearch.training.contrastive.recipe import Recipe
from mmsearch.training.contrastive.trainer import Outcome, train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

QUICK = Recipe(epochs=1, batch=4, views=1, image_layers=0, text_layers=1, lr=3e-2, text_lr=1e-2, ema=0.0)
FIRST, RERANKED = Logistic(16.0, -3.0, 5.0, -4.5), Logistic(10.0, -3.0, 3.0, -4.5)


@pytest.fixture(scope="module")  # within that of the graphs
def small_reranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model/``, a small model with all that the embedded one has beside its weights, and its ``reranker/``."""

    def make(folder: Path) -> None:
        small_trainee().save(folder / "model", {}, "small")
        card = ModelCard.read(folder / "model")
        write_reranker(folder / "reranker", card)
        rows = np.random.default_rng(0).standard_normal((60, card.dim)).astype(np.float32)
        querybank.save(folder / "model" / querybank.FILE, rows / np.linalg.norm(rows, axis=1, keepdims=True))
        Presence(np.eye(card.dim + 1, dtype=np.float32)).write(folder / "model")
        reranker = RerankCard.read(folder / "reranker").fingerprint
        (folder / "model" / FILE).write_text(Calibration(FIRST, (0.1, 0.2), RERANKED, reranker).to_json(), "utf-8")

    return made_once(tmp_path_factory, "small_reranked", make)


@pytest.fixture
def trained(small_reranked: Path, tmp_path: Path, pairs: Pairs) -> Callable[..., Outcome]:
    """Trains that model further in ``out``; without dev photos the last epoch is kept."""

    def run(recipe: Recipe = QUICK, dev: Pairs | None = None) -> Outcome:
        trainee = EmbeddedTrainee.load(small_reranked / "model", recipe.image_layers, recipe.text_layers)
        options = RunOptions(reranker=str(small_reranked / "reranker"))
        return train(trainee, pairs, dev, recipe, tmp_path / "out", options=options)

    return run


def test_trained_model_answers_says_and_reranks_as_before(
    small_reranked: Path, trained: Callable[..., Outcome], tmp_path: Path, settings: Settings
) -> None:
    outcome = trained()
    out, base = tmp_path / "out", small_reranked / "model"
    assert outcome.companions == Companions("moved", 0, NEEDED, "kept", reranker=True, lost=False)
    old, new = ModelCard.read(base), ModelCard.read(out)
    assert new.fingerprint != old.fingerprint  # it has learned something
    assert region_key(new) == region_key(old)
    given = pictures(new.preprocess.size)
    (_, wanted), (_, tokens) = (OnnxEncoder(folder).encode_pictures(given) for folder in (base, out))
    assert wanted is not None
    assert tokens is not None
    np.testing.assert_allclose(tokens, wanted, atol=1e-4)

    settings = replace(settings, reranker=str(small_reranked / "reranker"))
    cat, found = str(SAMPLES / "chelsea.png"), []
    for model in (base, out):
        with open_library(tmp_path / f"{model.name}.library", settings=settings) as library:
            library.index([str(SAMPLES)], model=f"local-dir:{model}", captions=True)
            hits = library.search("a cat", k=3, rerank=True)
            assert [hit.first_stage is not None for hit in hits] == [True] * 3
            assert all(hit.relevance is not None and 0 <= hit.relevance <= 1 for hit in hits)
            plain = library.search("a cat", k=3, rerank=False)
            assert all(hit.relevance is not None for hit in plain)
            asked = library.search("is there a cat?", k=100, where="type:photo")
            sure = {f"{hit.path} {hit.answer}": hit.answer_confidence for hit in asked}
            found.append((library.ask(cat, "what animal is it?"), library.caption(cat), sure))
    assert len(found[0][2]) > 10
    assert found[0][:2] == found[1][:2]
    assert found[1][2] == pytest.approx(found[0][2], abs=2e-3)


@pytest.mark.slow
def test_second_training_keeps_the_tokens_of_the_first_model(
    small_reranked: Path, trained: Callable[..., Outcome], tmp_path: Path, pairs: Pairs
) -> None:
    trained()
    options = RunOptions(reranker=str(small_reranked / "reranker"))
    trainee = EmbeddedTrainee.load(tmp_path / "out", QUICK.image_layers, QUICK.text_layers)
    again = train(trainee, pairs, None, QUICK, tmp_path / "again", options=options)
    assert again.companions == Companions("moved", 0, NEEDED, "kept", reranker=True, lost=False)
    assert region_key(ModelCard.read(tmp_path / "again")) == region_key(ModelCard.read(small_reranked / "model"))


@pytest.mark.slow
def test_trained_image_tower_loses_the_reranker_and_says_so(
    small_reranked: Path, trained: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = trained(replace(QUICK, image_layers=1, image_lr=1e-2))
    assert outcome.companions == Companions("moved", 0, NEEDED, "new", reranker=False, lost=True)
    old, new = ModelCard.read(small_reranked / "model"), ModelCard.read(tmp_path / "out")
    assert new.regions is not None
    assert region_key(new) != region_key(old)
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8")
    assert "mmsearch train-reranker --model local-dir:FOLDER" in card


@pytest.mark.slow
def test_model_that_learned_nothing_keeps_the_files_of_its_base(
    small_reranked: Path, trained: Callable[..., Outcome], tmp_path: Path, pairs: Pairs
) -> None:
    outcome = trained(replace(QUICK, lr=0.0, text_lr=0.0), pairs)
    assert outcome.epoch == 0
    assert outcome.companions == Companions("copied", 8, NEEDED, "kept", reranker=True, lost=False)
    for name in (FILE, querybank.FILE, presence.FILE):
        assert (tmp_path / "out" / name).read_bytes() == (small_reranked / "model" / name).read_bytes()


def test_presence_is_learned_anew_where_captions_name_enough_things(
    small_reranked: Path, trained: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained()
    assert not (tmp_path / "out" / presence.FILE).exists()  # eight photos teach nothing
    monkeypatch.setattr("mmsearch.training.common.presence.NAMED", 1)
    monkeypatch.setattr("mmsearch.training.common.presence.NEEDED", 2)
    monkeypatch.setattr("mmsearch.training.common.presence.STEPS", 5)
    shutil.rmtree(tmp_path / "out")
    trained()
    found = Presence.read(tmp_path / "out", ModelCard.read(tmp_path / "out").dim)
    before = Presence.read(small_reranked / "model", ModelCard.read(small_reranked / "model").dim)
    assert found is not None
    assert before is not None
    assert not np.array_equal(found.form, before.form)


@pytest.fixture
def many(tmp_path: Path) -> Pairs:
    """As many dev photos as are needed, each of one thing, of which nothing is said elsewhere but in one of twenty."""
    things = ["cat", "camera", "coffee", "motorcycle", "rocket", "table", "cup", "garage", "tripod", "suit",
              "dog", "boat", "car", "horse", "tree", "bridge", "guitar", "kite", "train", "bicycle"]  # fmt: skip
    (tmp_path / "many").mkdir()
    names = [f"{number}.png" for number in range(NEEDED)]
    for number, name in enumerate(names):
        draw(tmp_path / "many" / name, number)
    texts = tuple((f"this is a {things[number % len(things)]}",) for number in range(NEEDED))
    return Pairs(tmp_path / "many", tuple(names), texts)


@pytest.mark.slow
def test_relevance_is_fitted_where_there_are_enough_dev_photos(
    small_reranked: Path, trained: Callable[..., Outcome], tmp_path: Path, pairs: Pairs, many: Pairs
) -> None:
    trained()
    reranker = str(small_reranked / "reranker")
    material = companions.Material(pairs, many, unchanged=False, reranker=reranker)
    found = companions.complete(small_reranked / "model", tmp_path / "out", material, lambda *_: None)
    assert found == Companions("fitted", NEEDED, NEEDED, "kept", reranker=True, lost=False)
    Calibration.read.cache_clear()
    made = Calibration.read(tmp_path / "out")
    assert made is not None
    assert made.first != FIRST
    assert made.reranked is not None
    assert made.reranker == RerankCard.read(small_reranked / "reranker").fingerprint
    bank = querybank.load(tmp_path / "out" / querybank.FILE, 128)
    assert len(bank) == 512  # few captions, so plain sentences are among them


def test_moved_map_says_of_new_scores_what_the_old_one_said_of_old_ones() -> None:
    old, new = Scale((0.03, 0.08), (0.5, 0.1), (0.04, 0.08)), Scale((0.10, 0.16), (0.4, 0.05), (0.12, 0.16))
    found = companions.moved(Calibration(FIRST, (0.04, 0.08), RERANKED, "r"), old, new)
    deviations = np.linspace(-1, 6, 15)  # of a score from the mean, in spreads
    wanted = FIRST(0.03 + 0.08 * deviations, 0.5 + 0.1 * 1.5, 0.25)
    np.testing.assert_allclose(found.first(0.10 + 0.16 * deviations, 0.4 + 0.05 * 1.5, 0.25), wanted, atol=1e-5)
    assert found.typical == (0.12, 0.16)
    assert found.reranker == "r"


def test_fit_finds_the_map_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    true, count = Logistic(8.0, -2.0, 1.0, -1.5), 40_000
    scores, near, betas = rng.normal(0.3, 0.2, count), rng.normal(0.4, 0.2, count), rng.choice([0.0, 0.5], count)
    right = rng.random(count) < true(scores, near, betas)
    found = fit(scores, near, betas, right)
    share = np.log(right.mean() / (1 - right.mean()))  # both kinds count the same, however many there are
    wanted = (true.score, true.background, true.beta, true.offset - share)
    np.testing.assert_allclose((found.score, found.background, found.beta, found.offset), wanted, atol=0.2)


@pytest.mark.slow
def test_captions_that_name_nothing_fit_no_relevance(
    small_reranked: Path, trained: Callable[..., Outcome], tmp_path: Path, pairs: Pairs, many: Pairs
) -> None:
    trained()
    wordless = replace(many, texts=(("qwert",),) * len(many))
    material = companions.Material(pairs, wordless, unchanged=False, reranker="none")
    found = companions.complete(small_reranked / "model", tmp_path / "out", material)
    assert (found.relevance, found.reason) == ("moved", "the dev captions name too few things")
    assert (found.reranker, found.lost) == (False, False)  # nobody wants one
