"""A small random reranker through ONNX Runtime, against its torch model with the same weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from samples import SAMPLES
from small_reranker import ANSWERS, CAPTION_WORDS, small_model, stored

from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError, QueryError
from mmsearch.media.decode import prepare
from mmsearch.rerank import captions
from mmsearch.rerank.card import GRAPHS, RerankCard
from mmsearch.rerank.model import RerankModel
from mmsearch.rerank.reranker import Answer, Look, Reranker
from mmsearch.rerank.vocabulary import START
from mmsearch.types import Regions

TEXTS = ["a red motorcycle", "cat", "is the tall man in the photo riding a brown horse?", ""]
FILES = [SAMPLES / name for name in ("chelsea.png", "camera.png", "rocket.jpg")]


@pytest.fixture(scope="module")
def reranker(small_reranker: Path) -> Reranker:
    return Reranker(small_reranker, threads=1)


@pytest.fixture(scope="module")
def model(region_encoder: OnnxEncoder) -> RerankModel:
    return stored(small_model(region_encoder.card)).requires_grad_(False)


@pytest.fixture(scope="module")
def tokens() -> Regions:
    """Of five photos."""
    return np.random.default_rng(0).standard_normal((5, 49, 64)).astype(np.float32)


def in_torch(model: RerankModel, reranker: Reranker, text: str, tokens: Regions) -> list[Any]:
    """Match, probabilities of answers and attention, with the same states of words."""
    states, mask = reranker.words([text])
    n = len(tokens)
    given = torch.from_numpy(states).expand(n, -1, -1), torch.from_numpy(mask).expand(n, -1), torch.from_numpy(tokens)
    match, answers, attention = model(*given)
    return [match.numpy(), answers.softmax(dim=1).numpy(), attention.numpy()]


def assert_same(found: Look, wanted: Look, atol: float = 1e-4) -> None:
    assert found.words == wanted.words
    for name in ("match", "answers", "attention"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=atol)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_look_is_that_of_the_torch_model(
    reranker: Reranker, model: RerankModel, tokens: Regions, text: str, count: int
) -> None:
    look = reranker.look(text, tokens[:count])
    words = len(look.words)
    assert (look.words[0], look.words[-1]) == ("[CLS]", "[SEP]")
    assert (look.match.shape, look.answers.shape, look.attention.shape) == (
        (count,), (count, len(ANSWERS)), (count, words, 49),
    )  # fmt: skip
    assert {part.dtype for part in (look.match, look.answers, look.attention)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(look.answers.sum(axis=1), np.ones(count), atol=1e-5)
    np.testing.assert_allclose(look.attention.sum(axis=2), np.ones((count, words)), atol=1e-5)
    if count:
        match, answers, attention = in_torch(model, reranker, text, tokens[:count])
        np.testing.assert_allclose(look.match, match, atol=1e-3)  # logits that spread over 5 and more
        np.testing.assert_allclose(look.answers, answers, atol=1e-4)
        np.testing.assert_allclose(look.attention, attention, atol=1e-4)


def test_photos_do_not_see_each_other(reranker: Reranker, tokens: Regions) -> None:
    look = reranker.look(TEXTS[0], tokens)
    assert look.match.std() > 0.5
    for place in range(5):
        one = reranker.look(TEXTS[0], tokens[place][None])
        assert_same(
            one, Look(look.match[[place]], look.answers[[place]], look.attention[[place]], look.words), atol=1e-3
        )


def test_int8_weights_are_near_the_trained_ones(
    reranker: Reranker, region_encoder: OnnxEncoder, tokens: Regions
) -> None:
    match, answers, _ = in_torch(small_model(region_encoder.card).requires_grad_(False), reranker, TEXTS[0], tokens)
    look = reranker.look(TEXTS[0], tokens)
    assert np.abs(look.match - match).max() < 0.2 * match.std()
    assert np.abs(look.answers - answers).max() < 0.05


def test_answers_are_the_likeliest_that_fit(reranker: Reranker, tokens: Regions) -> None:
    for question, fitting in (
        ("how many dogs are there?", ["0", "1", "2"]),
        ("what color is the cat?", ["red", "blue", "cat", "dog"]),
        ("a cat", list(ANSWERS)),  # no question: anything goes
    ):
        shares = [dict(zip(ANSWERS, row.tolist(), strict=True)) for row in reranker.look(question, tokens).answers]
        for k in (1, 2, 9):
            wanted = [
                [Answer(name, round(row[name], 4)) for name in sorted(fitting, key=lambda name: -row[name])][:k]
                for row in shares
            ]
            assert reranker.answer(question, tokens, k) == wanted
    assert reranker.answer("is there a cat?", tokens[:0]) == []


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.5, 0.3, -0.2)])
def test_yes_is_told_by_the_answer_and_by_the_match_of_the_thing(
    small_reranker: Path, tokens: Regions, tmp_path: Path, weights: tuple[float, float, float]
) -> None:
    reranker = Reranker(copy(small_reranker, tmp_path / "copy", yes=weights))
    assert reranker.card.yes == weights
    shares, match = reranker.look("is there a cat?", tokens).answers, reranker.look("a cat", tokens).match
    of_head, of_match, constant = weights
    odds = of_head * np.log(shares[:, 0] / shares[:, 1]) + of_match * match + constant
    for row, answers in zip(odds.tolist(), reranker.answer("is there a cat?", tokens), strict=True):
        sure = 1 / (1 + np.exp(-row))
        wanted = sorted([(sure, "yes"), (1 - sure, "no")], reverse=True)
        assert [one.text for one in answers] == [name for _, name in wanted]
        assert [one.confidence for one in answers] == pytest.approx([share for share, _ in wanted], abs=1e-3)
    assert 0 < (odds > 0).sum() < 5 or weights == (1.0, 0.0, 0.0)


def test_where_no_answer_fits_any_is_given(small_reranker: Path, tokens: Regions, tmp_path: Path) -> None:
    names = tuple(f"thing {number}" for number in range(len(ANSWERS)))
    reranker = Reranker(copy(small_reranker, tmp_path / "copy", answers=names))
    shares = reranker.look("is it?", tokens[:1]).answers[0]
    assert [one.text for one in reranker.answer("is it?", tokens[:1], 2)[0]] == [
        names[place] for place in np.argsort(-shares)[:2]
    ]


def test_captions_are_those_of_the_torch_decoder(reranker: Reranker, model: RerankModel, tokens: Regions) -> None:
    found = reranker.caption(tokens[:2], alternatives=3)
    for said, photo in zip(found, tokens[:2], strict=True):
        regions = model.see(torch.from_numpy(photo[None]))

        def step(words: Any, regions: torch.Tensor = regions) -> Any:
            return model.decoder(torch.from_numpy(words), regions.expand(len(words), -1, -1))[:, -1].numpy()

        wanted = captions.search(step, 3, 3)
        assert [one.text for one in said] == [" ".join(CAPTION_WORDS[w] for w in beam.words[1:-1]) for beam in wanted]
        np.testing.assert_allclose([one.confidence for one in said], [b.confidence for b in wanted], atol=1e-3)
    assert reranker.caption(tokens[:0]) == []


def test_the_next_word_for_any_length(reranker: Reranker, model: RerankModel, tokens: Regions) -> None:
    regions = model.see(torch.from_numpy(tokens[:1]))
    for length in (1, 2, 31):
        words = np.random.default_rng(length).integers(4, len(CAPTION_WORDS), (3, length))
        words[:, 0] = START
        for rows in (words, words[:1]):
            (found,) = reranker._caption.session().run(None, {"words": rows, "tokens": tokens[:1]})
            wanted = model.decoder(torch.from_numpy(rows), regions.expand(len(rows), -1, -1))[:, -1]
            np.testing.assert_allclose(found, wanted.numpy(), atol=1e-3)


def test_pairs_are_predicted_in_their_order(reranker: Reranker, tokens: Regions) -> None:
    pairs = [("cat", tokens[0]), ("a red motorcycle", tokens[1]), ("cat", tokens[2]), ("cat", tokens[0])]
    wanted = [float(reranker.look(text, photo[None]).match[0]) for text, photo in pairs]
    found = reranker.predict(pairs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert found[0] == found[3]
    assert reranker.predict([]).shape == (0,)


def test_ranked_best_first(reranker: Reranker, tokens: Regions) -> None:
    documents = [*tokens, tokens[2]]  # two alike: the earlier one first
    match = reranker.predict([("a red motorcycle", one) for one in documents])
    order = sorted(range(6), key=lambda place: -match[place])
    wanted = [{"corpus_id": place, "score": float(match[place])} for place in order]
    assert reranker.rank("a red motorcycle", documents) == wanted
    assert reranker.rank("a red motorcycle", documents, top_k=2) == wanted[:2]
    assert reranker.rank("a red motorcycle", documents, top_k=0) == []
    assert reranker.rank("a red motorcycle", documents, top_k=99) == wanted
    assert reranker.rank("a red motorcycle", []) == []
    found = reranker.rank("a red motorcycle", documents, return_documents=True)
    for entry, place in zip(found, order, strict=True):
        assert entry["document"] is documents[place]


def test_picture_files_are_looked_at_through_an_encoder(small_reranker: Path, region_encoder: OnnxEncoder) -> None:
    seen = []
    for file in FILES:
        with Image.open(file) as image:
            pixels = prepare(image.convert("RGB"), region_encoder.card.preprocess)
        regions = region_encoder.encode_pictures(pixels[None])[1]
        assert regions is not None
        seen.append(regions[0])
    reranker = Reranker(small_reranker, region_encoder)
    wanted = reranker.look("a cat", np.stack(seen)).match
    given = [FILES[0], str(FILES[1]), seen[2]]  # a path, its name, and tokens
    np.testing.assert_allclose(reranker.predict([("a cat", one) for one in given]), wanted, atol=0.05)
    ranked = reranker.rank("a cat", given, return_documents=True, top_k=1)
    assert ranked[0]["document"] is given[int(wanted.argmax())]


def test_documents_that_cannot_be_looked_at(
    small_reranker: Path, region_encoder: OnnxEncoder, tokens: Regions, tmp_path: Path
) -> None:
    reranker = Reranker(small_reranker, region_encoder)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    for name, reason in (("bad.jpg", "not a picture"), ("none.jpg", "No such file"), (".", "Is a directory")):
        with pytest.raises(QueryError, match=f"{os.fspath(tmp_path / name)} cannot be read: {reason}"):
            reranker.predict([("a cat", tmp_path / name)])
    with pytest.raises(QueryError, match=r"have the shape \(49, 64\), not \(48, 64\)"):
        reranker.predict([("a cat", tokens[0]), ("a cat", tokens[0][:48])])
    with pytest.raises(ModelError, match=r"a reranker needs an encoder: Reranker\(folder, encoder\)"):
        Reranker(small_reranker).rank("a cat", [FILES[0]])


def copy(folder: Path, place: Path, **facts: Any) -> Path:
    """A reranker's folder with other facts in its card."""
    shutil.copytree(folder, place)
    card = RerankCard.read(folder)
    (place / "reranker.json").write_text(replace(card, **facts).to_json(), "utf-8")
    return place


def test_the_card_of_a_folder(small_reranker: Path, tmp_path: Path) -> None:
    card = RerankCard.read(small_reranker)
    facts = {name: value for name, value in asdict(card).items() if name != "weights"}
    assert RerankCard.of(small_reranker, **facts) == card
    assert (card.side, card.region_dim, card.answers, card.caption_words) == (7, 64, ANSWERS, CAPTION_WORDS)
    others = [replace(card, **other) for other in (
        {"answers": ("no", "yes")}, {"caption_words": ("a",)}, {"regions": "x"}, {"weights": "x"},
    )]  # fmt: skip
    assert len({one.fingerprint for one in [card, *others]}) == 5
    same = [replace(card, **other) for other in ({"helps": False}, {"rule": "sum"}, {"name": "x"}, {"weight": 9.0})]
    assert {one.fingerprint for one in same} == {card.fingerprint}  # the same graphs, otherwise used
    changed = shutil.copytree(small_reranker, tmp_path / "changed")
    (changed / "caption.onnx").write_bytes(b"other")
    assert RerankCard.of(changed, **facts).fingerprint != card.fingerprint


@pytest.mark.parametrize("name", ["reranker.json", *GRAPHS])
def test_incomplete_folders_are_refused(small_reranker: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(small_reranker, tmp_path / "copy")
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"copy is no reranker's folder: {name} missing"):
        Reranker(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "no JSON",
        lambda text: "[1, 2]",
        lambda text: "{}",
        lambda text: text.replace('"side"', '"wide"'),
        lambda text: text.replace('"weighted"', '"best"'),
    ],
)
def test_a_card_that_makes_no_sense(small_reranker: Path, tmp_path: Path, spoil: Callable[[str], str]) -> None:
    folder = shutil.copytree(small_reranker, tmp_path / "copy")
    file = folder / "reranker.json"
    file.write_text(spoil(file.read_text("utf-8")), "utf-8")
    with pytest.raises(ModelError, match=r"copy/reranker\.json is no description of a reranker"):
        Reranker(folder)


def test_broken_graphs_are_named(small_reranker: Path, tokens: Regions, tmp_path: Path) -> None:
    folder = shutil.copytree(small_reranker, tmp_path / "copy")
    for name in GRAPHS[1:]:
        (folder / name).write_bytes(b"no graph")
    reranker = Reranker(folder)
    with pytest.raises(ModelError, match=r"copy/match\.onnx cannot be loaded"):
        reranker.look("a cat", tokens)
    with pytest.raises(ModelError, match=r"copy/caption\.onnx cannot be loaded"):
        reranker.caption(tokens)


def test_an_encoder_with_other_regions_is_refused(small_reranker: Path, encoder: OnnxEncoder) -> None:
    with pytest.raises(ModelError, match="trained on other region tokens than embedded gives"):
        Reranker(small_reranker, encoder)


def test_threads_see_the_same(small_reranker: Path, reranker: Reranker, tokens: Regions) -> None:
    fresh = Reranker(small_reranker, threads=1)  # four threads load it at once
    with ThreadPoolExecutor(4) as pool:
        looks = list(pool.map(lambda number: fresh.look(TEXTS[number % 4], tokens), range(16)))
    for number, look in enumerate(looks):
        assert_same(look, reranker.look(TEXTS[number % 4], tokens))
