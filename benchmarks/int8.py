"""Models in int8 against float32, on the CPU: how quick, how near, and what a search loses.

python -m benchmarks.int8 [--model ViT-B-32-256] [--work DIR] [--rounds 12] [--data DIR]

"open_clip": an architecture of open_clip with random weights, exported and quantised as ``index --precision int8``
does.  Milliseconds of processor time for a picture and for a text, in runs of 1 and of 8, one thread, both precisions
in turn; the least of all rounds.

With ``--data``, a folder with ``images/``, ``captions.tsv``, ``train.txt`` and ``dev.txt``, on the dev photos, text to
image, one model with trained weights, the embedded one:

"text": its text tower, a transformer, with the same int8 products and by ONNX Runtime's ``quantize_dynamic``, which has
one scale for all rows of a run, over its float32 pictures.  "alone" is the least cosine between the vectors of a text
by itself and among seven others.

"image": its image tower, a convolutional network, by ONNX Runtime's ``quantize_static``: ranges of 100 training photos,
weights with a scale a channel; convolutions alone, or the products of the whole graph.

"turned": all vectors of pictures and texts turned at random until they have a given cosine to what they were.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import report
from mmsearch.encoders import factory
from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.export import int8
from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.encoder import OnnxEncoder, unit_rows
from mmsearch.encoders.texts import TextEncoder
from mmsearch.evaluation.evaluate import read_captions
from mmsearch.media import decode
from mmsearch.types import Pixels, Vectors

QUERY = "two children are playing with a red ball on the beach"
TURNED = (0.999, 0.995, 0.99, 0.98, 0.97, 0.95)
Inputs = dict[str, NDArray[Any]]


def least_ms(sessions: dict[str, Any], inputs: Iterable[Inputs]) -> dict[str, float]:
    """Milliseconds of a run, the least of all, of sessions that take turns."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for given in inputs:
        for name, session in sessions.items():
            begun = time.process_time()
            session.run(["vectors"], given)
            times[name].append(1000 * (time.process_time() - begun))
    return {name: min(found) for name, found in times.items()}


def compared(sessions: dict[str, Any], rows: NDArray[Any], given: str, rounds: int) -> dict[str, Any]:
    """Milliseconds a row in runs of 1 and 8; ratios are those of the first session to the others."""
    found: dict[str, Any] = {}
    for size in (1, 8):
        runs = ({given: rows[start % (len(rows) - size + 1) :][:size]} for start in range(0, rounds * size, size))
        times = least_ms(sessions, runs)
        first = next(iter(times.values()))
        found[f"runs of {size}"] = {
            name: {"ms": round(took / size, 2), "ratio": round(first / took, 2)} for name, took in times.items()
        }
    return found


def random_open_clip(name: str, work: Path) -> OnnxEncoder:
    """An open_clip architecture with random weights, exported."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from mmsearch.encoders.export.open_clip import export
    from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder

    folder = work / "weights" / name
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "model_cfg": open_clip.get_model_config(name),
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(facts), "utf-8")
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    encoder = OpenClipEncoder.load(f"local-dir:{folder}", "cpu")
    return export(encoder, work / "models" / encoder.card.fingerprint)


def open_clip_figures(name: str, work: Path, rounds: int) -> dict[str, Any]:
    plain = random_open_clip(name, work)
    begun = time.perf_counter()
    small = int8.quantized(plain, work / "models" / "int8")
    took = time.perf_counter() - begun
    size, folders = plain.card.preprocess.size, {"float32": plain.folder, "int8": small.folder}
    pixels = np.random.default_rng(0).integers(0, 256, (16, size, size, 3), np.uint8)
    ids = TextEncoder.load(plain.folder / "tokenizer.json", plain.card.tokens)([QUERY] * 16)
    rows: dict[str, tuple[str, NDArray[Any]]] = {"image": ("pixels", pixels), "text": ("ids", ids)}
    found: dict[str, Any] = {}
    for tower, (given, values) in rows.items():
        sessions = {kind: onnx_session.load([folder / f"{tower}.onnx"], 1) for kind, folder in folders.items()}
        found[tower] = compared(sessions, values, given, rounds)
        found[tower]["mb"] = {kind: round((f / f"{tower}.onnx").stat().st_size / 1e6) for kind, f in folders.items()}
    return {"model": name, **found, "least_cosine": round(agreement(plain, small), 4), "seconds": round(took, 1)}


class Dev:
    """The dev photos and their captions, encoded with the embedded model."""

    def __init__(self, data: Path) -> None:
        captions = read_captions(data / "captions.tsv", data / "dev.txt")
        self.data, self.encoder = data, factory.embedded()
        self.pixels = self.read(captions)
        self.texts = [text for texts in captions.values() for text in texts]
        self.own = np.repeat(np.arange(len(captions)), [len(texts) for texts in captions.values()])
        self.images = batches(self.encoder.encode_images, self.pixels)
        self.vectors = batches(self.encoder.encode_texts, self.texts)

    def read(self, names: Iterable[str]) -> Pixels:
        found = []
        for name in names:
            with (self.data / "images" / name).open("rb") as file:
                found.append(decode.decode(file, name, self.encoder.card.preprocess).pixels)
        return np.stack(found)

    def figures(self, images: Vectors, texts: Vectors) -> dict[str, float]:
        """R@1 and R@10 in percent, text to image."""
        scores = texts @ images.T
        ranks = (scores > scores[np.arange(len(texts)), self.own][:, None]).sum(axis=1)
        return {f"R@{k}": round(100 * float((ranks < k).mean()), 2) for k in (1, 10)}


def batches(encode: Callable[[Any], Vectors], rows: Any, size: int = 32) -> Vectors:
    return np.concatenate([encode(rows[start : start + size]) for start in range(0, len(rows), size)])


def folded(source: Path, work: Path) -> Path:
    """A graph of the embedded model with its weights as float32 constants, as quantisers want them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(work / f"folded-{source.name}")
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return work / f"folded-{source.name}"


def near(one: Vectors, other: Vectors) -> dict[str, float]:
    cosines = (one * other).sum(axis=1)
    return {"least_cosine": round(float(cosines.min()), 4), "mean_cosine": round(float(cosines.mean()), 4)}


def text_figures(dev: Dev, work: Path, rounds: int) -> dict[str, Any]:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = folded(factory.EMBEDDED / "text.onnx", work)
    int8.rewrite(plain, work / "text-int8.onnx")
    quantize_dynamic(
        plain, work / "text-dynamic.onnx", op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )  # fmt: skip
    files = {"float32": plain, "int8": work / "text-int8.onnx", "quantize_dynamic": work / "text-dynamic.onnx"}
    sessions = {name: onnx_session.load([file], 1) for name, file in files.items()}
    tokens = TextEncoder.load(factory.EMBEDDED / "tokenizer.json", dev.encoder.card.tokens)
    found = compared(sessions, tokens([QUERY] * 16), "ids", rounds)
    for name, session in sessions.items():

        def encode(texts: list[str], session: Any = session) -> Vectors:
            return unit_rows(session.run(["vectors"], {"ids": tokens(texts)})[0])

        vectors = batches(encode, dev.texts, 8)
        alone = batches(encode, dev.texts[:200], 1)
        found[name] = {
            **dev.figures(dev.images, vectors),
            **near(vectors, dev.vectors),
            "alone": near(vectors[:200], alone)["least_cosine"],
        }
    return found


def image_figures(dev: Dev, work: Path, rounds: int) -> dict[str, Any]:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    names = (dev.data / "train.txt").read_text("utf-8").split()
    photos = dev.read(names[:: len(names) // 100][:100])

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows: Iterator[Pixels] = iter(photos)

        def get_next(self) -> Inputs | None:
            row = next(self.rows, None)
            return None if row is None else {"pixels": row[None]}

    convolutions = ["Conv", "Add", "Clip"]
    kinds = {"convolutions": convolutions, "all products": [*convolutions, "Mul", "MatMul", "Gemm"]}
    files = {"float32": folded(factory.EMBEDDED / "image.onnx", work)}
    for name, kind in kinds.items():
        files[name] = work / f"image-{len(kind)}.onnx"
        quantize_static(
            files["float32"], files[name], Reader(), op_types_to_quantize=kind, per_channel=True,
            weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8, extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    sessions = {name: onnx_session.load([file], 1) for name, file in files.items()}
    found = compared(sessions, dev.pixels[:16], "pixels", rounds)
    for name, session in sessions.items():

        def encode(rows: Pixels, session: Any = session) -> Vectors:
            return unit_rows(session.run(["vectors"], {"pixels": rows})[0])

        vectors = batches(encode, dev.pixels, 1)
        size = round(files[name].stat().st_size / 1e6, 1)
        found[name] = {**dev.figures(vectors, dev.vectors), **near(vectors, dev.images), "mb": size}
    return found


def turned_figures(dev: Dev) -> dict[str, Any]:
    """Means of five tries."""

    def turned(vectors: Vectors, cosine: float, random: np.random.Generator) -> Vectors:
        aside = random.standard_normal(vectors.shape).astype(np.float32)
        aside -= (aside * vectors).sum(axis=1, keepdims=True) * vectors
        return unit_rows(cosine * vectors + np.sqrt(1 - cosine**2) * unit_rows(aside))

    found = {"1": dev.figures(dev.images, dev.vectors)}
    for cosine in TURNED:
        random = np.random.default_rng(0)
        tries = [dev.figures(turned(dev.images, cosine, random), turned(dev.vectors, cosine, random)) for _ in range(5)]
        found[str(cosine)] = {key: round(float(np.mean([one[key] for one in tries])), 2) for key in tries[0]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-32-256", help="an architecture of open_clip")
    parser.add_argument("--work", type=Path, help="where the models go; by default they are deleted")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--data", type=Path, help="photos and captions")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        figures: dict[str, Any] = {
            "exact_by_itself": not onnx_session.clips_products(),
            "open_clip": open_clip_figures(given.model, work, given.rounds),
        }
        if given.data is not None:
            dev = Dev(given.data)
            figures["text"] = text_figures(dev, work, given.rounds)
            figures["image"] = image_figures(dev, work, given.rounds)
            figures["turned"] = turned_figures(dev)
    report("int8", figures)


if __name__ == "__main__":
    main()
