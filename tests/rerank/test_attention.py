"""Each kind of attention against loops in NumPy or torch's own attention, and what all kinds have in common."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnxscript.optimizer import fold_constants, remove_unused_nodes
from torch import Tensor, nn

from mmsearch.errors import ConfigError
from mmsearch.rerank.attention import (
    KINDS,
    Attended,
    Attention,
    AttentionConfig,
    Bidirectional,
    CoAttention,
    FeedForward,
    Hierarchical,
    Level,
    Stream,
    attention,
)

SMALL = AttentionConfig(width=8, heads=2, feed_forward=3)

Array = NDArray[Any]


def ready(block: nn.Module) -> nn.Module:
    """In eval mode and float64, every parameter random: norms too, which start as the identity."""
    generator = torch.Generator().manual_seed(1)
    block = block.double().eval()
    for parameter in block.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return block


def given(n: int = 3, t: int = 5, r: int = 6, d: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Words (n, t, d), their mask with rows of different lengths, and regions (n, r, d), float64."""
    generator = torch.Generator().manual_seed(2)
    words = torch.randn(n, t, d, generator=generator, dtype=torch.float64)
    regions = torch.randn(n, r, d, generator=generator, dtype=torch.float64)
    lengths = t - torch.arange(n) % t  # t, t - 1, …
    return words, torch.arange(t) < lengths[:, None], regions


# The oracle: one text and one photo at a time, real words alone, plain loops.


def numbers(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().numpy())


def linear(layer: nn.Linear, rows: Array) -> Array:
    return np.stack([numbers(layer.weight) @ row + (0 if layer.bias is None else numbers(layer.bias)) for row in rows])


def norm(layer: nn.LayerNorm, rows: Array) -> Array:
    scaled = [(row - row.mean()) / np.sqrt(row.var() + 1e-5) for row in rows]
    return np.stack([numbers(layer.weight) * row + numbers(layer.bias) for row in scaled])


def feed_forward(module: FeedForward, rows: Array) -> Array:
    hidden = linear(module.widen, norm(module.norm, rows))
    gelu = np.array([[0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in row] for row in hidden])
    return np.asarray(rows + linear(module.narrow, gelu))


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def read_along(queries: Array, keys: Array, values: Array, heads: int) -> tuple[Array, Array]:
    """Each query's weighted mean of the values, head by head, and the weights, mean of the heads."""
    wide = queries.shape[1] // heads
    out, weights = np.zeros_like(queries), np.zeros((len(queries), len(keys)))
    for head in range(heads):
        part = slice(head * wide, (head + 1) * wide)
        for i, query in enumerate(queries):
            shares = softmax([float(query[part] @ key[part]) / math.sqrt(wide) for key in keys])
            for j, share in enumerate(shares):
                out[i, part] += share * values[j, part]
                weights[i, j] += share / heads
    return out, weights


def plain_bidirectional(block: Bidirectional, words: Array, regions: Array) -> tuple[Array, Array, Array]:
    w, r = norm(block.norm_words, words), norm(block.norm_regions, regions)
    queries, keys = linear(block.query, w), linear(block.key, r)
    seen, weights = read_along(queries, keys, linear(block.region_value, r), block.heads)
    read, _ = read_along(keys, queries, linear(block.word_value, w), block.heads)
    words = feed_forward(block.word_forward, words + linear(block.word_out, seen))
    regions = feed_forward(block.region_forward, regions + linear(block.region_out, read))
    return words, regions, weights


def plain_hierarchical(block: Hierarchical, words: Array, regions: Array) -> tuple[Array, Array, Array]:
    w, r = norm(block.norm_words, words), norm(block.norm_regions, regions)
    keys, values = linear(block.key, r), linear(block.value, r)

    phrases = np.full_like(w, -np.inf)
    ended = [*w, np.zeros_like(w[0]), np.zeros_like(w[0])]
    for size, gram in zip((1, 2, 3), block.phrases.grams, strict=True):
        assert isinstance(gram, nn.Linear)
        for i in range(len(w)):
            phrase = np.tanh(linear(gram, np.concatenate(ended[i : i + size])[None])[0])
            phrases[i] = np.maximum(phrases[i], phrase)

    p, within = norm(block.norm_phrases, phrases), block.within
    mixed, _ = read_along(linear(within.query, p), linear(within.key, p), linear(within.value, p), block.heads)
    sentence = phrases + linear(within.out, mixed)

    below: Array = np.zeros((len(w), 0))
    read_of_all, weights_of_all = [], []
    for level, states in zip(block.levels, (w, phrases, sentence), strict=True):
        assert isinstance(level, Level)
        queries = linear(level.query, states)
        seen, weights = read_along(queries, keys, values, block.heads)
        read, _ = read_along(keys, queries, linear(level.value, states), block.heads)
        below = np.tanh(linear(level.join, np.concatenate([states + seen, below], axis=1)))
        read_of_all.append(read)
        weights_of_all.append(weights)
    words = feed_forward(block.word_forward, words + below)
    regions = feed_forward(block.region_forward, regions + linear(block.region_out, np.mean(read_of_all, axis=0)))
    return words, regions, np.mean(weights_of_all, axis=0)


def assert_same_as_plain(block: nn.Module, plain: Any) -> None:
    words, mask, regions = given()
    got = block(words, mask, regions)
    for i, length in enumerate(mask.sum(dim=1).tolist()):
        wanted = plain(block, numbers(words[i, :length]), numbers(regions[i]))
        np.testing.assert_allclose(numbers(got.words[i, :length]), wanted[0], atol=1e-10)
        np.testing.assert_allclose(numbers(got.regions[i]), wanted[1], atol=1e-10)
        np.testing.assert_allclose(numbers(got.weights[i, :length]), wanted[2], atol=1e-10)


@pytest.mark.parametrize("heads", [1, 2])
def test_bidirectional_is_the_plain_loop(heads: int) -> None:
    assert_same_as_plain(ready(Bidirectional(AttentionConfig(8, heads))), plain_bidirectional)


@pytest.mark.parametrize("heads", [1, 2])
def test_hierarchical_is_the_plain_loop(heads: int) -> None:
    assert_same_as_plain(ready(Hierarchical(AttentionConfig(8, heads))), plain_hierarchical)


def torch_attention(
    module: Attention, asking: Tensor, told: Tensor, padding: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What torch's own multi-head attention says with the weights of ``module``."""
    theirs = nn.MultiheadAttention(asking.shape[2], module.heads, batch_first=True, dtype=torch.float64)
    layers = (module.query, module.key, module.value)
    none = torch.zeros(asking.shape[2])
    theirs.in_proj_weight.data = torch.cat([layer.weight.data for layer in layers])
    theirs.in_proj_bias.data = torch.cat([none.double() if layer.bias is None else layer.bias.data for layer in layers])
    theirs.out_proj.load_state_dict(module.out.state_dict())
    with torch.no_grad():
        read, weights = theirs(asking, told, told, key_padding_mask=padding)
    return read, weights


def test_co_attention_is_what_torch_attention_says() -> None:
    block = ready(CoAttention(SMALL))
    assert isinstance(block, CoAttention)
    words, mask, regions = given()
    w, r = block.norm_words(words), block.norm_regions(regions)

    def side(
        stream: Stream, states: Tensor, own: Tensor, padding: Tensor | None, other: Tensor, hidden: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        seen, weights = torch_attention(stream.cross, own, other, hidden)
        states = states + seen
        normed = stream.norm(states)
        states = states + torch_attention(stream.within, normed, normed, padding)[0]
        return torch.stack([torch.from_numpy(feed_forward(stream.feed_forward, numbers(x))) for x in states]), weights

    wanted_words, weights = side(block.words, words, w, ~mask, r, None)
    wanted_regions, _ = side(block.regions, regions, r, None, w, ~mask)
    got = block(words, mask, regions)
    torch.testing.assert_close(got.words[mask], wanted_words[mask], atol=1e-10, rtol=0)
    torch.testing.assert_close(got.regions, wanted_regions, atol=1e-10, rtol=0)
    torch.testing.assert_close(got.weights[mask], weights[mask], atol=1e-10, rtol=0)


# What all kinds have in common.


@pytest.fixture(params=KINDS)
def block(request: pytest.FixtureRequest) -> nn.Module:
    return ready(attention(request.param, SMALL))


def assert_same(got: Attended, words: Tensor, regions: Tensor, weights: Tensor) -> None:
    torch.testing.assert_close(got.words, words, atol=1e-10, rtol=0)
    torch.testing.assert_close(got.regions, regions, atol=1e-10, rtol=0)
    torch.testing.assert_close(got.weights, weights, atol=1e-10, rtol=0)


def test_padding_changes_nothing(block: nn.Module) -> None:
    words, _, regions = given()
    mask = torch.ones(words.shape[:2], dtype=torch.bool)
    padding = 10 * torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    longer = torch.cat([words, padding], dim=1)
    got = block(longer, torch.cat([mask, torch.zeros(3, 4, dtype=torch.bool)], dim=1), regions)
    wanted = block(words, mask, regions)
    assert_same(Attended(got.words[:, :5], got.regions, got.weights[:, :5]), *wanted)


def test_pairs_do_not_see_each_other(block: nn.Module) -> None:
    words, mask, regions = given()
    whole = block(words, mask, regions)
    alone = block(words[1:2], mask[1:2], regions[1:2])
    assert_same(alone, whole.words[1:2], whole.regions[1:2], whole.weights[1:2])


def test_order_of_regions_does_not_matter(block: nn.Module) -> None:
    words, mask, regions = given()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    wanted = block(words, mask, regions)
    got = block(words, mask, regions[:, order])
    assert_same(got, wanted.words, wanted.regions[:, order], wanted.weights[:, :, order])


def test_weights_are_shares_of_the_regions(block: nn.Module) -> None:
    weights = block(*given()).weights
    assert weights.shape == (3, 5, 6)
    assert weights.min() > 0
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(3, 5, dtype=torch.float64))


def test_text_without_a_word_gives_finite_states(block: nn.Module) -> None:
    words, mask, regions = given()
    got = block(words, torch.zeros_like(mask), regions)
    assert all(bool(values.isfinite().all()) for values in got)


def test_gradients_reach_every_parameter(block: nn.Module) -> None:
    words, mask, regions = given()
    got = block(words, mask, regions)
    generator = torch.Generator().manual_seed(4)
    shares = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in (got.words[mask], got.regions)]
    ((got.words[mask] * shares[0]).sum() + (got.regions * shares[1]).sum()).backward()
    still = [
        name for name, parameter in block.named_parameters() if parameter.grad is None or parameter.grad.norm() < 1e-6
    ]
    assert still == []


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_autocast_is_near_float32(kind: str) -> None:
    torch.manual_seed(0)
    block = attention(kind, SMALL).eval()
    words, mask, regions = (x.float() if x.is_floating_point() else x for x in given())
    wanted = block(words, mask, regions)
    with torch.autocast("cpu", torch.bfloat16):
        got = block(words, mask, regions)
    for half, whole in zip(got, wanted, strict=True):
        torch.testing.assert_close(half.float(), whole, atol=0.05, rtol=0)


class AllKinds(nn.Module):
    """One block of each kind side by side: exporting takes seconds, so all go at once."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(attention(kind, SMALL) for kind in KINDS)

    def forward(self, words: Tensor, word_mask: Tensor, regions: Tensor) -> list[Tensor]:
        return [values for block in self.blocks for values in block(words, word_mask, regions)]


def test_onnx_runtime_agrees_for_any_number_of_photos_and_words() -> None:
    torch.manual_seed(0)
    blocks = AllKinds().eval()

    def example(n: int, t: int) -> tuple[Tensor, Tensor, Tensor]:
        words, mask, regions = given(n, t)
        return words.float(), mask, regions.float()

    some = torch.export.Dim.DYNAMIC
    names = ["words", "word_mask", "regions"]
    program = torch.onnx.export(
        blocks, example(3, 5), input_names=names, dynamic_shapes=({0: some, 1: some}, {0: some, 1: some}, {0: some}),
        dynamo=True, optimize=False, verbose=False,
    )  # fmt: skip
    assert program is not None
    fold_constants(program.model)
    remove_unused_nodes(program.model)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for n, t in ((1, 1), (1, 7), (4, 2), (9, 12)):
        inputs = example(n, t)
        got = session.run(None, dict(zip(names, map(numbers, inputs), strict=True)))
        for ours, theirs in zip(got, blocks(*inputs), strict=True):
            np.testing.assert_allclose(ours, numbers(theirs), atol=1e-4, err_msg=f"n = {n}, t = {t}")


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'sideways'; there are: bidirectional, co-attention, hierarchical"):
        attention("sideways", SMALL)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="a width of 8 cannot be split over 3 heads"):
        attention("bidirectional", AttentionConfig(width=8, heads=3))
