"""The int8 form of an exported model: close to float32, made when it is missing, refused where it is not close."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save_file

from mmsearch.encoders.agreement import agreement, pictures
from mmsearch.encoders.export import int8
from mmsearch.encoders.factory import LoadOptions, choose, for_card
from mmsearch.encoders.onnx import session as onnx_session
from mmsearch.encoders.onnx.encoder import FILES, OnnxEncoder
from mmsearch.encoders.onnx.session import EXACT, clips_products
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.errors import ModelError

Rows = NDArray[np.float32]


def graph(folder: Path, first: Rows, second: Rows, bias: Rows) -> Path:
    """rows @ first, then @ second transposed and + bias, as PyTorch exports a linear layer."""
    nodes = [
        helper.make_node("MatMul", ["rows", "first"], ["middle"]),
        helper.make_node("Gemm", ["middle", "second", "bias"], ["out"], transB=1),
    ]
    stored = {"first": first, "second": second, "bias": bias}
    given = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", len(first)])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", len(second)])
    tensors = [numpy_helper.from_array(values, name) for name, values in stored.items()]
    made = helper.make_graph(nodes, "products", [given], [out], tensors)
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "float.onnx"
    )
    return folder / "float.onnx"


def run(file: Path, rows: Rows, exact: str = "1") -> Rows:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(EXACT, exact)
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"rows": rows})
    return np.asarray(found, np.float32)


def product(rows: Rows, weights: Rows) -> NDArray[np.float64]:
    """The same product in NumPy: whole numbers up to 127 with a scale a row and a scale a column."""
    tops = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-20)
    scales = np.abs(weights).max(axis=0) / np.float32(127)
    whole = np.rint(rows * (np.float32(127) / tops)).astype(np.int64) @ np.rint(weights / scales).astype(np.int64)
    products: NDArray[np.float64] = whole * (scales.astype(np.float64) / 127) * tops
    return products


def test_products_are_those_of_numpy(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    first, second, bias, rows = (
        random.standard_normal(shape).astype(np.float32) for shape in ((96, 80), (48, 80), (48,), (7, 96))
    )
    rows[3] *= 1e4  # a row with large values does not coarsen the others
    rows[5] = 0
    int8.rewrite(graph(tmp_path, first, second, bias), tmp_path / "int8.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert kinds.count("MatMulInteger") == 2
    assert not {"MatMul", "Gemm"} & set(kinds)
    found = run(tmp_path / "int8.onnx", rows)
    expected = product(product(rows, first).astype(np.float32), second.T) + bias
    # A value between two steps may be rounded the other way: one step of a row times the largest weight.
    step = np.abs(product(rows, first)).max(axis=1, keepdims=True) / 127 * np.abs(second).max()
    assert (np.abs(found - expected) <= 2 * step + 1e-6).all()
    assert np.median(np.abs(found - expected)) < 1e-4
    np.testing.assert_array_equal(found, np.concatenate([run(tmp_path / "int8.onnx", row[None]) for row in rows]))
    for quick in (False, True):  # as a command loads it, and a command that asks once
        (loaded,) = onnx_session.load([tmp_path / "int8.onnx"], quick=quick).run(None, {"rows": rows})
        np.testing.assert_allclose(loaded, found, rtol=1e-5, atol=1e-5)
    if not clips_products():  # the quick way gives the same numbers, and they are whole up to the last step
        np.testing.assert_array_equal(run(tmp_path / "int8.onnx", rows, exact="0"), found)
    true = rows.astype(np.float64) @ first @ second.T + bias
    cosines = (found * true).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(true, axis=1)
    assert cosines.min() > 0.999


def test_int8_folder_is_a_model_of_its_own_and_close(onnx_encoder: OnnxEncoder, tmp_path: Path) -> None:
    small = int8.quantized(onnx_encoder, tmp_path / "models" / "int8", one_file=1000)
    assert small.card == replace(onnx_encoder.card, precision="int8")
    assert small.card.fingerprint != onnx_encoder.card.fingerprint
    assert 0.99 < agreement(onnx_encoder, small) < 0.999999
    kinds = {node.op_type for node in onnx.load(small.folder / "image.onnx", load_external_data=False).graph.node}
    assert "MatMulInteger" in kinds
    assert {file.name for file in small.folder.iterdir()} == {*FILES, "image.onnx.data", "text.onnx.data"}
    assert [file.name for file in small.folder.parent.iterdir()] == ["int8"]
    size = small.card.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    alone = np.concatenate([small.encode_images(row[None]) for row in pixels])
    np.testing.assert_allclose(small.encode_images(pixels), alone, atol=1e-5)  # no picture depends on its neighbours


HOSTILE = {"visual.ln_post.weight": 1e5, "visual.ln_post.bias": 1e5, "visual.proj": 1e-5}


@pytest.fixture
def hostile_folder(clip_folder: Path, tmp_path: Path) -> Path:
    """The small CLIP as it is in float32, but with one very large value before the last product."""
    folder = shutil.copytree(clip_folder, tmp_path / "hostile")
    weights = load_file(folder / "open_clip_model.safetensors")
    for name, factor in HOSTILE.items():
        weights[name][0] *= factor
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def put_export(hostile_folder: Path, clip_export: OnnxEncoder, cache: Path) -> None:
    """The export of the hostile model into the cache: that of the small CLIP with the same values in its graph."""
    card = OpenClipEncoder.load(f"local-dir:{hostile_folder}").card
    folder = shutil.copytree(clip_export.folder, cache / "models" / card.fingerprint)
    (folder / "model.json").write_text(card.to_json(), "utf-8")
    model = onnx.load(folder / "image.onnx")
    for tensor in model.graph.initializer:
        for name, factor in HOSTILE.items():
            if tensor.name.endswith(name):
                values = numpy_helper.to_array(tensor).copy()
                values[0] *= factor
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, folder / "image.onnx")


def test_model_that_int8_changes_is_refused(
    hostile_folder: Path, clip: OpenClipEncoder, clip_export: OnnxEncoder, tmp_path: Path
) -> None:
    cache, name = tmp_path / "cache", f"local-dir:{hostile_folder}"
    put_export(hostile_folder, clip_export, cache)
    plain = choose(name, LoadOptions("cpu", cache))
    noise = pictures(clip.card.preprocess.size)
    np.testing.assert_allclose(plain.encoder.encode_images(noise), clip.encode_images(noise), atol=1e-3)
    with pytest.raises(
        ModelError, match=rf"int8 changes the vectors of {name} too much \(cosine 0\.\d+, wanted 0.99\)"
    ):
        choose(name, LoadOptions("cpu", cache, precision="int8"))
    assert [file.name for file in (cache / "models").iterdir()] == [plain.encoder.card.fingerprint]
    choice = choose("auto", LoadOptions("cpu", cache, (name, ""), precision="int8"))  # not asked for by name
    assert choice.encoder.card == plain.encoder.card
    assert choice.note.startswith(f"using {name} in float32: int8 changes the vectors of")


def test_int8_is_found_again_by_its_fingerprint(clip_folder: Path, clip: OpenClipEncoder, tmp_path: Path) -> None:
    cache, name = tmp_path / "cache", f"local-dir:{clip_folder}"
    choice = choose(name, LoadOptions("cpu", cache, precision="int8"))
    assert isinstance(choice.encoder, OnnxEncoder)
    assert (choice.note, choice.encoder.card) == (f"using {name} in int8", replace(clip.card, precision="int8"))
    fingerprint, vectors = choice.encoder.card.fingerprint, choice.encoder.encode_texts(["a cat"])
    assert {file.name for file in (cache / "models").iterdir()} == {clip.card.fingerprint, fingerprint}
    assert choose(name, LoadOptions("cpu", cache)).encoder.card == clip.card

    script = (
        "import sys; from pathlib import Path; from mmsearch.encoders.factory import LoadOptions, for_card;"
        f"for_card({name!r}, {fingerprint!r}, LoadOptions('cpu', Path({str(cache)!r}))).encode_texts(['a cat']);"
        "print([name for name in ('onnx', 'open_clip', 'torch') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"

    written = (choice.encoder.folder / "text.onnx").stat().st_mtime_ns
    again = (
        choose(name, LoadOptions("cpu", cache, precision="int8")).encoder,
        for_card(name, fingerprint, LoadOptions("cpu", cache)),
    )
    for encoder in again:
        assert isinstance(encoder, OnnxEncoder)
        assert (encoder.folder / "text.onnx").stat().st_mtime_ns == written
    shutil.rmtree(cache)
    np.testing.assert_array_equal(
        for_card(name, fingerprint, LoadOptions("cpu", cache)).encode_texts(["a cat"]), vectors
    )


def test_int8_alone_serves_where_the_weights_are_gone(clip_export: OnnxEncoder, tmp_path: Path) -> None:
    named = replace(clip_export.card, name="ViT-B-16/openai")
    plain = shutil.copytree(clip_export.folder, tmp_path / "models" / named.fingerprint)
    (plain / "model.json").write_text(named.to_json(), "utf-8")
    first = choose("ViT-B-16", LoadOptions("cpu", tmp_path, precision="int8"))  # made from the export, without torch
    shutil.rmtree(plain)
    for spec, defaults in (("ViT-B-16", LoadOptions.defaults), ("auto", ("ViT-B-16", ""))):
        choice = choose(spec, LoadOptions("cpu", tmp_path, defaults, precision="int8"))
        assert choice.encoder.card == first.encoder.card == replace(named, precision="int8")
    assert choose("auto", LoadOptions("cpu", tmp_path, ("ViT-B-16", ""))).note.startswith("using the embedded model: ")


def test_embedded_model_has_no_int8(tmp_path: Path, region_model: Path) -> None:
    said = "; not in int8, which is for open_clip models on a CPU"
    choice = choose("embedded", LoadOptions("cpu", tmp_path, precision="int8"))
    assert (choice.encoder.card.name, choice.note) == ("embedded", f"using the embedded model{said}")
    trained = f"local-dir:{region_model}"
    choice = choose(trained, LoadOptions("cpu", tmp_path, precision="int8"))
    assert (choice.encoder.card.name, choice.note) == (trained, f"using {trained}{said}")
    choice = choose("auto", LoadOptions("cpu", tmp_path, precision="int8"))
    assert choice.encoder.card.name == "embedded"
    assert choice.note.endswith(said)


def test_cache_that_cannot_be_written(clip_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be", "utf-8")
    with pytest.raises(ModelError, match=r"there is no int8 of local-dir:.* without its export"):
        choose(f"local-dir:{clip_folder}", LoadOptions("cpu", tmp_path, precision="int8"))
