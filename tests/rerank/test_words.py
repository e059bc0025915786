"""States of words: the last ones of the embedded model's second branch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmsearch.encoders.export import model_folder
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ModelError
from mmsearch.rerank.words import AT_ONCE, WordEncoder

TEXTS = ["a red motorcycle", "cat", "is the uncharacteristically tall man riding a horse?", ""]


@pytest.fixture(scope="module")
def words(small_reranker: Path) -> WordEncoder:
    return WordEncoder(EMBEDDED, small_reranker / "words.onnx", threads=1)


def test_states_are_those_of_the_torch_tower(words: WordEncoder) -> None:
    states, mask = words(TEXTS)
    ids = words.tokenize(TEXTS)
    np.testing.assert_array_equal(mask, ids != 0)
    _, tower, _, _ = model_folder.read(EMBEDDED)
    with torch.no_grad():
        wanted = tower.eval().run(tower.embed(torch.from_numpy(ids)), torch.from_numpy(mask), 0, 6).numpy()[..., -384:]
    assert states.dtype == np.float32
    np.testing.assert_allclose(states[mask], wanted[mask], atol=1e-4)  # states of about 1
    for text, row, counts in zip(TEXTS, states, mask, strict=True):  # padding changes nothing
        np.testing.assert_allclose(words([text])[0][0], row[counts], atol=1e-4)


def test_pieces_of_words(words: WordEncoder) -> None:
    ids = words.tokenize(TEXTS[:2])
    assert words.pieces(ids[0]) == ("[CLS]", "a", "red", "motorcycle", "[SEP]")
    assert words.pieces(ids[1]) == ("[CLS]", "cat", "[SEP]", "[PAD]", "[PAD]")
    assert words.pieces(np.array([words.mask_id])) == ("[MASK]",)
    assert words.pieces(words.tokenize(["uncharacteristically"])[0]) == (
        "[CLS]", "un", "##cha", "##rac", "##ter", "##istic", "##ally", "[SEP]",
    )  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, AT_ONCE + 1])
def test_any_number_of_texts(words: WordEncoder, count: int) -> None:
    texts = [f"a dog {number}" for number in range(count)]
    states, mask = words(texts)
    assert states.shape == (*mask.shape, 384)
    assert mask.sum(axis=1).tolist() == [5] * count
    if count:
        np.testing.assert_allclose(states[-1], words(texts[-1:])[0][0], atol=1e-4)


def test_long_texts_are_cut(words: WordEncoder) -> None:
    assert words(["dog " * 500])[1].shape == (1, 64)


def test_broken_files_are_named(small_reranker: Path, tmp_path: Path) -> None:
    (tmp_path / "words.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=f"text.onnx with {tmp_path / 'words.onnx'} cannot be loaded"):
        WordEncoder(EMBEDDED, tmp_path / "words.onnx")(["a cat"])
    with pytest.raises(ModelError, match=f"the tokenizer in {tmp_path} cannot be loaded"):
        WordEncoder(tmp_path, small_reranker / "words.onnx")(["a cat"])


def test_a_text_of_which_there_is_a_vector_is_not_run_again(words: WordEncoder, small_reranker: Path) -> None:
    encoder = OnnxEncoder(EMBEDDED, threads=1)
    shared = WordEncoder(EMBEDDED, small_reranker / "words.onnx", graph=encoder.text_graph)
    alone = OnnxEncoder(EMBEDDED, threads=1).encode_texts(TEXTS[:1])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS[:1]), alone, atol=1e-6)
    ids = shared.tokenize(TEXTS[:1])
    assert encoder.text_graph.run(ids, "words") is encoder.text_graph.run(ids, "words")  # kept with the vector
    np.testing.assert_allclose(shared(TEXTS[:1])[0], words(TEXTS[:1])[0], atol=1e-4)
    np.testing.assert_allclose(shared(TEXTS)[0], words(TEXTS)[0], atol=1e-4)


def test_a_broken_file_of_a_reranker_costs_no_vector(tmp_path: Path) -> None:
    (tmp_path / "words.onnx").write_bytes(b"no graph")
    encoder = OnnxEncoder(EMBEDDED, threads=1)
    shared = WordEncoder(EMBEDDED, tmp_path / "words.onnx", graph=encoder.text_graph)
    with pytest.raises(ModelError, match="cannot be loaded"):
        shared(["a cat"])
    np.testing.assert_array_equal(
        encoder.encode_texts(["a cat"]), OnnxEncoder(EMBEDDED, threads=1).encode_texts(["a cat"])
    )
