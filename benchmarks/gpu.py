"""What a GPU gives, and whether it gives the same: encoders, indexing, and the index of vectors.  For whoever has one.

    python -m benchmarks.gpu [--model NAME] [--photos 4096] [--rows 1000000] [--device cuda]

Encoders: the embedded model and an open_clip model (``--model``, by default what ``auto`` takes on a GPU; ``none``
leaves it out), with region tokens, each set up in several ways that take turns: as they are, weights by channels,
pinned memory, a CUDA graph, all of it; then by sizes of batches, with one and two threads that give them, and on all
GPUs.  ``cosine`` is the least one to the vectors that the CPU gives in full precision.  Indexing: photos drawn here,
to the library.  Decoding: JPEGs of 12 megapixels, by Pillow and by nvJPEG.  Index: the rows of ``vectors.py`` on the
GPUs, all compared and in lists, against all compared on the CPU; ``bytes`` is what is taken of the GPUs' memory.
``said`` is what the log said, such as why something was done without.  One JSON line; ``--device cpu`` runs the same
where there is no GPU, with small ``--photos`` and ``--rows``.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from benchmarks import vectors
from benchmarks.camera_photos import make
from benchmarks.common import report
from benchmarks.index_kinds import K, recall, timed
from benchmarks.million import draw
from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.encoders.device import all_devices, choose_device
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import Encoder
from mmsearch.encoders.torch.batches import Setup
from mmsearch.encoders.torch.cuda_graph import captured
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder
from mmsearch.encoders.torch.multi_gpu import on_all
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.errors import ModelError
from mmsearch.indexes.autotune import tune
from mmsearch.indexes.exact import nearest
from mmsearch.indexes.gpu import OnGpus, problem
from mmsearch.indexes.index import StoredIndex, TunedAnn
from mmsearch.indexes.maintenance import build
from mmsearch.indexes.policy import Choice, choose
from mmsearch.indexes.protocol import AnnIndex
from mmsearch.indexes.vector_file import Rows
from mmsearch.ingest.prefetch import one_ahead
from mmsearch.library.opening import open_library
from mmsearch.media.decode import decode
from mmsearch.media.nvjpeg import Jpegs
from mmsearch.types import Decoded, Pixels

SIZES = (32, 64, 128, 256, 512)  # of batches that are tried
ROUNDS = 5
COMPARED = 48  # pictures whose vectors are compared with the CPU's
QUERIES = 256  # of which half tune the lists, and the other half say what recall that gives


class Made(Encoder, Protocol):
    """An encoder that can be set up otherwise."""

    def copy(self, device: str, setup: Setup | None = None) -> Encoder: ...


class Said(logging.Handler):
    """Keeps what the log says."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def pace(encoder: Encoder, pixels: Pixels, batch: int, threads: int = 1) -> float:
    """Photos a second, with region tokens, in batches as an index run gives them."""
    parts = [pixels[at : at + batch] for at in range(0, len(pixels), batch)]
    begun = time.perf_counter()
    for _ in one_ahead(parts, encoder.encode_pictures, threads):
        pass
    return len(pixels) / (time.perf_counter() - begun)


def in_turns(encoders: dict[str, tuple[Encoder, int, int]], pixels: Pixels) -> dict[str, float]:
    """The median pace of each; ``encoders`` have a batch and a number of threads beside them."""
    for encoder, batch, threads in encoders.values():
        pace(encoder, pixels[: 2 * batch], batch, threads)  # captures, and lets libraries choose
    paces: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(ROUNDS):
        for name, (encoder, batch, threads) in encoders.items():
            paces[name].append(pace(encoder, pixels, batch, threads))
    return {name: round(statistics.median(own), 1) for name, own in paces.items()}


def encoding(encoder: Made, full: Encoder, device: str, photos: int) -> dict[str, Any]:
    size, batch = encoder.card.preprocess.size, Setup.of(torch.device("cuda")).batch
    pixels = np.random.default_rng(0).integers(0, 256, (photos, size, size, 3), np.uint8)
    setups = {
        "plain": Setup(batch),
        "channels last": Setup(batch, channels_last=True),
        "pinned": Setup(batch, pinned=True),
        "graph": Setup(batch, capture=captured),
        "all": Setup(batch, True, True, captured),
    }
    ways = {name: encoder.copy(device, setup) for name, setup in setups.items()}
    paces = in_turns({name: (way, batch, 1) for name, way in ways.items()}, pixels)
    compared = np.concatenate([soft(COMPARED, size), pixels[: batch - COMPARED]])  # a full batch: through the graph
    wanted = full.encode_images(compared[:COMPARED])
    found = {
        name: {
            "photos/s": paces[name],
            "cosine": round(float((way.encode_images(compared)[:COMPARED] * wanted).sum(axis=1).min()), 5),
        }
        for name, way in ways.items()
    }
    del ways
    sizes = {f"batches of {n}": (encoder.copy(device, Setup(n, True, True, captured)), n, 1) for n in SIZES}
    threads = {f"{n} threads": (encoder.copy(device, setups["all"]), batch, n) for n in (1, 2)}
    everywhere = on_all(encoder, all_devices(device))
    count = len(all_devices(device))
    gpus = {f"on {count} devices": (everywhere, count * batch, 2)} if count > 1 else {}
    return {"pixels": size, "ways": found, "photos/s": in_turns({**sizes, **threads, **gpus}, pixels)}


def soft(count: int, size: int) -> Pixels:
    """Pictures with large shapes in them, unlike noise different from each other, (count, size, size, 3)."""
    coarse = np.random.default_rng(1).integers(0, 256, (count, 6, 6, 3), np.uint8)
    nearest_cell = np.arange(size) * 6 // size
    made: Pixels = coarse[:, nearest_cell][:, :, nearest_cell]
    return made


def encoders(model: str, device: str) -> Iterator[tuple[str, Made, Encoder]]:
    """Name, the encoder on the device, and the same in full precision on the CPU."""
    yield "embedded", TorchEmbeddedEncoder(factory.EMBEDDED, device), OnnxEncoder(factory.EMBEDDED)
    if model != "none":
        yield model, OpenClipEncoder.load(model, device), OpenClipEncoder.load(model)


def indexing(encoder: Encoder, photos: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        draw(Path(scratch) / "photos", photos)
        settings = Settings(cache=Path(scratch) / "cache", reranker="none")
        with open_library(Path(scratch) / "library", settings=settings, encoder=encoder) as library:
            done = library.index(Path(scratch) / "photos")
    return {"photos": done.added, "photos/s": round(done.pace or 0, 1), "busy": done.shares, "limit": done.limit}


def decoding(encoder: Encoder, device: str, photos: int) -> dict[str, Any]:
    """Photos of 12 megapixels to pixels, a thread a core: by Pillow, and with nvJPEG."""
    jpegs = Jpegs(torch.device(device))
    reason = jpegs.problem()
    if reason is not None:
        return {"nvJPEG": reason}
    with tempfile.TemporaryDirectory() as scratch:
        contents = [file.read_bytes() for file in make(Path(scratch), photos)]
    preprocess = encoder.card.preprocess
    ways: dict[str, Callable[..., Decoded]] = {"Pillow": decode}
    ways["nvJPEG" if device == "cuda" else "torchvision"] = partial(decode, jpegs=jpegs)
    paces: dict[str, list[float]] = {name: [] for name in ways}
    made: dict[str, Pixels] = {}
    with jpegs.working(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(ROUNDS):
            for name, way in ways.items():
                begun = time.perf_counter()
                decoded = pool.map(lambda content: way(io.BytesIO(content), "x", preprocess), contents)  # noqa: B023
                made[name] = np.stack([one.pixels for one in decoded])
                paces[name].append(len(contents) / (time.perf_counter() - begun))
    one, other = (encoder.encode_images(pixels) for pixels in made.values())
    cosine = round(float((one * other).sum(axis=1).min()), 5)
    return {"photos/s": {name: round(statistics.median(own), 1) for name, own in paces.items()}, "cosine": cosine}


def index(device: str, count: int) -> dict[str, Any]:
    rows = Rows(vectors.DIM + 1)
    for block in vectors.pictures(None, count):
        rows = rows.plus(np.arange(len(rows), len(rows) + len(block)), block)
    queries = vectors.queries(None, QUERIES)
    tuned, asked = queries[: QUERIES // 2], queries[QUERIES // 2 :]
    truth = nearest(rows, asked, K).positions
    exact = StoredIndex(rows)
    found, times = timed(lambda query: exact.search(query[None], K).ids[0], asked)
    figures: dict[str, Any] = {"rows": count, "dim": rows.dim, "on the CPU": {"recall": recall(found, truth), **times}}
    reason = problem() if device == "cuda" else "--device cpu"
    if reason is not None:
        figures["on a GPU"] = reason
    lists = choose(count, rows.dim).lists or 64
    for name, number in {"all compared": 0, "in lists": lists}.items():
        before, begun = free(), time.perf_counter()
        there: AnnIndex
        if reason is None:
            there = OnGpus(rows, number, torch.cuda.device_count())
        else:
            there = build(rows, Choice("ivf-sq8", number or 1, 0))  # so that what follows is run
        took, taken = time.perf_counter() - begun, before - free()
        ann = TunedAnn(there, tuple(tune(there, rows, tuned, 0.95, (K,))), count)
        own = StoredIndex(rows, ann=ann)
        found, times = timed(lambda query: own.search(query[None], K).ids[0], asked)  # noqa: B023
        figures[f"{there.kind}, {name}"] = {
            "recall": recall(found, truth), **times, "build_s": round(took, 2), "bytes": taken, "lists": number,
        }  # fmt: skip
    return figures


def free() -> int:
    """Bytes of all GPUs together."""
    return sum(torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--model", default=Settings.gpu_model)
    parser.add_argument("--photos", type=int, default=4096)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    try:
        device = choose_device(given.device)
    except ModelError as error:
        hint = "to see that the script runs: --device cpu --model none --photos 64 --rows 21000"
        raise SystemExit(f"{error}\n{hint}") from error
    said = Said()
    logging.getLogger("mmsearch").addHandler(said)
    figures: dict[str, Any] = {"device": "the CPU, no GPU was measured"}
    if device == "cuda":
        figures["device"] = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    figures["torch"] = torch.__version__
    for name, encoder, full in encoders(given.model, device):
        figures[name] = encoding(encoder, full, device, given.photos)
        figures[name]["indexing"] = indexing(encoder, given.photos)
    figures["decoding"] = decoding(OnnxEncoder(factory.EMBEDDED), device, min(given.photos, 128))
    figures["index"] = index(device, given.rows)
    report("gpu", {**figures, "said": sorted(set(said.lines))})


if __name__ == "__main__":
    main()
