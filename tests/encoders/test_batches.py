"""Batches on their way through a tower as on a GPU: in parts, pinned, by channels, captured; the vectors are the same.

What captures here is no graph: it does what a graph does, knowing one shape only and keeping its input and its output
in one place.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mmsearch.encoders import factory
from mmsearch.encoders.agreement import pictures
from mmsearch.encoders.device import all_devices
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.torch.batches import Batches, Setup, channels_last
from mmsearch.encoders.torch.cuda_graph import Capture, Graphed, Run, captured
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.media.decode import prepare
from mmsearch.types import Pixels

CPU = torch.device("cpu")
NO_GPU = not torch.cuda.is_available()
GPU = Setup(batch=3, channels_last=True)  # as on a GPU, with small batches


class Fixed:
    """Captures as CUDA does: for one shape, with one place for what is given and one for what is made."""

    def __init__(self) -> None:
        self.captures = self.replays = 0

    def __call__(self, run: Run, like: Tensor) -> Run:
        self.captures += 1
        given = torch.zeros_like(like)
        kept = run(given)

        def replay(batch: Tensor) -> tuple[Tensor, ...]:
            assert batch.shape == given.shape
            self.replays += 1
            given.copy_(batch)
            for place, rows in zip(kept, run(given), strict=True):
                place.copy_(rows)
            return tuple(rows.clone() for rows in kept)

        return replay


def pixels(count: int, size: int = 4) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def rows_of(given: Tensor) -> tuple[Tensor, Tensor]:
    """Each picture by itself: its first pixels and something of all of them."""
    flat = given.flatten(1).float()
    return flat[:, :5] + 1, flat.square().sum(dim=1, keepdim=True) + torch.arange(3)


def wanted(given: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """The same in NumPy."""
    flat = given.reshape(len(given), 4 * 4 * 3).astype(np.float32)
    return flat[:, :5] + 1, (flat**2).sum(axis=1, keepdims=True) + np.arange(3)


def assert_rows(found: list[np.ndarray], given: Pixels) -> None:
    assert [rows.dtype for rows in found] == [np.float32, np.float32]
    for one, other in zip(found, wanted(given), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize(("batch", "captures"), [(0, False), (4, False), (4, True)])
def test_parts_are_one_batch_again(count: int, batch: int, captures: bool) -> None:
    capture = Fixed() if captures else None
    given = pixels(count)
    assert_rows(Batches(rows_of, CPU, Setup(batch, capture=capture))(given), given)
    if capture is not None:
        assert capture.captures == (1 if count > 2 else 0)
        assert capture.replays == {0: 0, 1: 0, 3: 2, 4: 2, 5: 2, 8: 3, 11: 4}[count]  # one more to check it


def test_a_captured_batch_is_not_written_over_by_the_next() -> None:
    graphed = Graphed(rows_of, 4, Fixed())
    one, other = (torch.from_numpy(part) for part in np.split(pixels(8), 2))
    first = graphed(one)
    second = graphed(other)
    assert_rows([rows.numpy() for rows in first], one.numpy())
    assert_rows([rows.numpy() for rows in second], other.numpy())


def fails(run: Run, like: Tensor) -> Run:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


def ignores_what_it_is_given(run: Run, like: Tensor) -> Run:
    made = run(torch.zeros_like(like))
    return lambda batch: made


def gives_no_numbers(run: Run, like: Tensor) -> Run:
    return lambda batch: tuple(rows * float("nan") for rows in run(batch))


@pytest.mark.parametrize(
    ("capture", "reason"),
    [
        (fails, "operation not permitted when stream is capturing"),
        (ignores_what_it_is_given, r"it gives other vectors \(cosine 0\.\d+\)"),
        (gives_no_numbers, r"it gives other vectors \(cosine nan\)"),
        (captured, ".+"),
    ],
)
def test_without_a_usable_graph_the_tower_runs_and_one_line_says_why(
    capture: Capture, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = Batches(rows_of, CPU, Setup(4, capture=capture))
    given = pixels(10)
    for _ in range(2):
        assert_rows(run(given), given)
    (line,) = caplog.messages
    assert re.fullmatch(f"pictures are encoded without a CUDA graph: {reason}", line)


def test_a_graph_that_fails_later_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    class Breaks(Fixed):
        def __call__(self, run: Run, like: Tensor) -> Run:
            replay = super().__call__(run, like)

            def broken(batch: Tensor) -> tuple[Tensor, ...]:
                if self.replays == 2:
                    raise RuntimeError("launch failure")
                return replay(batch)

            return broken

    given = pixels(12)
    assert_rows(Batches(rows_of, CPU, Setup(4, capture=Breaks()))(given), given)
    assert caplog.messages == ["pictures are encoded without a CUDA graph: launch failure"]


@pytest.mark.parametrize("capture", [None, Fixed()])
def test_a_device_that_is_too_small_gets_fewer_pictures_at_once(
    capture: Capture | None, caplog: pytest.LogCaptureFixture
) -> None:
    sizes: list[int] = []

    def small(given: Tensor) -> tuple[Tensor, ...]:
        if len(given) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB. GPU 0 has no more")
        sizes.append(len(given))
        return rows_of(given)

    run = Batches(small, CPU, Setup(8, capture=capture))
    given = pixels(12)
    for _ in range(2):
        assert_rows(run(given), given)
    assert sizes == 2 * 6 * [2]
    expected = [f"{size} pictures at once from now on: CUDA out of memory" for size in (4, 2)]
    assert [line for line in caplog.messages if "graph" not in line] == expected


def test_no_room_for_a_single_picture_is_an_error() -> None:
    def full(given: Tensor) -> tuple[Tensor, ...]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        Batches(full, CPU, Setup(8))(pixels(3))


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_where_no_memory_can_be_pinned_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    run = Batches(rows_of, CPU, Setup(4, pinned=True))
    given = pixels(10)
    for _ in range(2):
        assert_rows(run(given), given)
    (line,) = caplog.messages
    assert line.startswith("pictures are moved to the device without pinned memory: ")


def test_several_threads_get_what_one_gets() -> None:
    run = Batches(rows_of, CPU, Setup(4, capture=Fixed()))
    given = [pixels(9)[at:] for at in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for part, found in zip(given, pool.map(run, given), strict=True):
            assert_rows(found, part)


def convolutions() -> tuple[nn.Module, Tensor]:
    """A tower, and what it may be given."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(32, 2))
        return tower, torch.randn(4, 3, 6, 6)


def test_weights_of_convolutions_change_their_order_only(caplog: pytest.LogCaptureFixture) -> None:
    tower, given = convolutions()
    before = {name: weight.clone() for name, weight in tower.state_dict().items()}
    channels_last(tower, lambda pixels: (tower(pixels),), given)
    assert tower.state_dict()["0.weight"].stride() == (27, 1, 9, 3)
    assert tower.state_dict()["3.weight"].stride() == (32, 1)
    for name, weight in tower.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda rows: rows * torch.tensor([1.0, -1.0]), r"with it vectors are others \(cosine -?\d\.\d+\)"),
        (lambda rows: rows.view(3, 3), "shape '.3, 3.' is invalid for input of size 8"),
    ],
)
def test_weights_keep_their_order_where_that_changes_what_comes_out(
    wrong: Callable[[Tensor], Tensor], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    tower, given = convolutions()
    weight = tower.state_dict()["0.weight"]

    def run(pixels: Tensor) -> tuple[Tensor]:
        rows = tower(pixels)
        return (rows if tower.state_dict()["0.weight"].is_contiguous() else wrong(rows),)

    channels_last(tower, run, given)
    assert tower.state_dict()["0.weight"].stride() == weight.stride() == (27, 9, 3, 1)
    torch.testing.assert_close(tower.state_dict()["0.weight"], weight, rtol=0, atol=0)
    (line,) = caplog.messages
    assert re.fullmatch(f"weights of convolutions are not ordered by channels: {reason}", line)


def test_an_encoder_set_up_as_for_a_gpu_gives_the_same(
    torch_encoder: OpenClipEncoder, photos_in_memory: list[Image.Image]
) -> None:
    whole = [prepare(image, torch_encoder.card.preprocess) for image in photos_in_memory]
    given = np.stack([*whole, *(picture[::-1] for picture in whole)])
    capture = Fixed()
    model = copy.deepcopy(torch_encoder.images.model)
    grid = torch_encoder._grid
    other = OpenClipEncoder(
        model, torch_encoder.tokenizer, torch_encoder.card, grid=grid, setup=replace(GPU, capture=capture)
    )
    assert (torch_encoder.batch, other.batch) == (0, 3)
    weights = [weight for weight in other.images.state_dict().values() if weight.dim() == 4 and weight.shape[2] > 1]
    assert weights
    assert not any(weight.is_contiguous() for weight in weights)
    assert_same(torch_encoder, other, given)
    assert capture.captures == (1 if grid is None else 2)
    assert_same(torch_encoder, other.copy("cpu"), given)


def test_the_embedded_model_set_up_as_for_a_gpu_gives_the_same(encoder: OnnxEncoder) -> None:
    capture = Fixed()
    plain = TorchEmbeddedEncoder(factory.EMBEDDED, "cpu")
    other = TorchEmbeddedEncoder(factory.EMBEDDED, "cpu", replace(GPU, capture=capture))
    given = np.concatenate([pictures(260), pictures(260)[:1, ::-1]])  # a batch, and one more
    assert_same(plain, other, given)
    assert capture.captures == 2
    assert (other.encode_images(given) * encoder.encode_images(given)).sum(axis=1).min() > 0.9999
    assert_same(plain, other.copy("cpu"), given[:2])


def assert_same(one: Encoder, other: Encoder, given: Pixels) -> None:
    np.testing.assert_allclose(other.encode_images(given), one.encode_images(given), atol=1e-5)
    vectors, regions = one.encode_pictures(given)
    others, other_regions = other.encode_pictures(given)
    np.testing.assert_allclose(others, vectors, atol=1e-5)
    assert (regions is None) == (other_regions is None)
    if regions is not None and other_regions is not None:
        np.testing.assert_allclose(other_regions, regions, atol=1e-4 * float(regions.std()))


@pytest.mark.skipif(NO_GPU, reason="there is no GPU")
@pytest.mark.parametrize("device", all_devices("cuda"))
def test_on_a_gpu_the_batch_is_captured_and_gives_the_vectors_of_the_cpu(
    device: str, encoder: OnnxEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    there = TorchEmbeddedEncoder(factory.EMBEDDED, device)
    given = np.random.default_rng(0).integers(0, 256, (there.batch + 1, 260, 260, 3), np.uint8)
    vectors, regions = there.encode_pictures(given)
    assert (vectors * encoder.encode_images(given)).sum(axis=1).min() > 0.999
    assert regions is not None
    assert caplog.messages == []  # neither the graph nor pinned memory was done without
