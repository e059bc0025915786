"""An open_clip model here gives the vectors that it gives in open_clip."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip_reference import cosines, reference
from PIL import Image
from safetensors.torch import load_file, save_file

from mmsearch.encoders.agreement import TEXTS, agreement, pictures
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder, weights_hash
from mmsearch.errors import ModelError
from mmsearch.media.decode import prepare
from mmsearch.types import Preprocess, Vectors


def spread(rows: Vectors) -> float:
    """The largest cosine between two different rows."""
    return float((rows @ rows.T)[np.triu_indices(len(rows), 1)].max())


def test_vectors_are_open_clips(
    folder: Path, torch_encoder: OpenClipEncoder, onnx_encoder: OnnxEncoder, photos_in_memory: list[Image.Image]
) -> None:
    images, texts = reference(folder, photos_in_memory, list(TEXTS))
    assert spread(images) < 0.99  # the vectors differ from each other by far more than is allowed below
    pixels = np.stack([prepare(image, torch_encoder.card.preprocess) for image in photos_in_memory])
    assert cosines(torch_encoder.encode_images(pixels), images) > 0.9999
    assert cosines(torch_encoder.encode_texts(TEXTS), texts) > 0.9999
    assert cosines(onnx_encoder.encode_images(pixels), images) > 0.999
    assert cosines(onnx_encoder.encode_texts(TEXTS), texts) > 0.999


def test_vectors_are_unit_rows_of_float32(torch_encoder: OpenClipEncoder, onnx_encoder: OnnxEncoder) -> None:
    size, dim = torch_encoder.card.preprocess.size, torch_encoder.card.dim
    for encoder in (torch_encoder, onnx_encoder):
        for rows in (encoder.encode_images(pictures(size)[:1]), encoder.encode_texts(["a cat"])):
            assert rows.shape == (1, dim)
            assert rows.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
        assert encoder.encode_images(np.empty((0, size, size, 3), np.uint8)).shape == (0, dim)
        assert encoder.encode_texts([]).shape == (0, dim)


def test_pixels_need_not_be_writable_or_in_order(clip: OpenClipEncoder) -> None:
    pixels = pictures(64)
    wanted = clip.encode_images(pixels)
    pixels.flags.writeable = False
    np.testing.assert_array_equal(clip.encode_images(pixels), wanted)
    np.testing.assert_allclose(clip.encode_images(pixels[::-1])[::-1], wanted, atol=1e-6)


def test_several_threads_get_what_one_gets(clip: OpenClipEncoder) -> None:
    wanted = clip.encode_texts(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(clip.encode_texts, [TEXTS] * 8):
            np.testing.assert_allclose(rows, wanted, atol=1e-6)


def test_card_says_how_pictures_and_texts_are_wanted(clip: OpenClipEncoder, clip_folder: Path) -> None:
    card = clip.card
    assert (card.name, card.dim, card.precision) == (f"local-dir:{clip_folder}", 32, "float32")
    assert card.preprocess == Preprocess(64, open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    assert (card.tokens.context, card.tokens.clean) == (77, "lower")


def test_half_precision_changes_neither_vectors_nor_fingerprint(clip: OpenClipEncoder, clip_folder: Path) -> None:
    half = OpenClipEncoder.load(f"local-dir:{clip_folder}", precision="fp16")
    assert next(half.images.model.parameters()).dtype == torch.float16
    assert half.card == clip.card
    assert agreement(half, clip) > 0.999


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_gpu_gives_the_vectors_of_the_cpu(folder: Path, torch_encoder: OpenClipEncoder) -> None:
    encoder = OpenClipEncoder.load(f"local-dir:{folder}", "cuda")
    assert next(encoder.images.model.parameters()).dtype == torch.float16
    assert encoder.card == torch_encoder.card
    assert agreement(encoder, torch_encoder) > 0.999


def copy_with(folder: Path, copy: Path, name: str, factor: float) -> Path:
    """A copy of the model, with one weight multiplied."""
    shutil.copytree(folder, copy)
    file = copy / "open_clip_model.safetensors"
    weights = load_file(file)
    save_file({**weights, name: weights[name] * factor}, file)
    return copy


def test_half_precision_is_not_used_where_it_overflows(clip_folder: Path, tmp_path: Path) -> None:
    folder = copy_with(clip_folder, tmp_path / "large", "visual.conv1.weight", 1e6)
    encoder = OpenClipEncoder.load(f"local-dir:{folder}", precision="fp16")
    assert next(encoder.images.model.parameters()).dtype == torch.float32
    assert np.isfinite(encoder.encode_images(pictures(64))).all()


def test_fingerprint_follows_the_weights_and_not_the_place(
    clip: OpenClipEncoder, clip_folder: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(clip_folder, tmp_path / "moved")
    changed = copy_with(clip_folder, tmp_path / "changed", "ln_final.bias", 1.001)
    assert OpenClipEncoder.load(f"local-dir:{moved}").card.fingerprint == clip.card.fingerprint
    assert OpenClipEncoder.load(f"local-dir:{changed}").card.fingerprint != clip.card.fingerprint
    config = changed / "open_clip_config.json"
    config.write_text(config.read_text("utf-8").replace('"embed_dim"', '"quick_gelu": true, "embed_dim"'), "utf-8")
    shutil.copy(clip_folder / "open_clip_model.safetensors", changed)
    assert OpenClipEncoder.load(f"local-dir:{changed}").card.fingerprint != clip.card.fingerprint
    assert replace(clip.card, preprocess=Preprocess(64)).fingerprint != clip.card.fingerprint


def test_weights_hash_sees_names_shapes_and_bytes() -> None:
    def layer(inputs: int, outputs: int) -> torch.nn.Module:
        made = torch.nn.Linear(inputs, outputs, bias=False)
        made.weight.data = torch.arange(6.0).view(made.weight.shape)
        return made

    different = [layer(2, 3), layer(3, 2), layer(2, 3).half(), torch.nn.ModuleDict({"a": layer(2, 3)})]
    assert len({weights_hash(model) for model in different}) == 4
    assert weights_hash(layer(2, 3)) == weights_hash(layer(2, 3))


def test_folder_that_is_no_model_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no open_clip model: open_clip_config\.json is missing"):
        OpenClipEncoder.load(f"local-dir:{tmp_path / 'absent'}")
    empty = shutil.copytree(clip_folder, tmp_path / "empty", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ModelError, match="holds no weights"):
        OpenClipEncoder.load(f"local-dir:{empty}")
    (empty / "open_clip_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=f"local-dir:{empty} cannot be loaded: "):
        OpenClipEncoder.load(f"local-dir:{empty}")


@pytest.mark.parametrize(
    ("model", "pictures", "sentence"),
    [
        ({"image_size": [64, 32]}, {}, "pictures of 32 x 64 pixels; only square ones"),
        ({}, {"interpolation": "nearest"}, "resizes by nearest shortest"),
    ],
)
def test_pictures_of_another_kind_are_refused(
    model: dict[str, object], pictures: dict[str, object], sentence: str, clip_folder: Path, tmp_path: Path
) -> None:
    config = json.loads((clip_folder / "open_clip_config.json").read_text("utf-8"))
    config["model_cfg"]["vision_cfg"] |= model
    config["preprocess_cfg"] |= pictures
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config), "utf-8")
    made = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False)
    save_file(made.state_dict(), tmp_path / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match=sentence):
        OpenClipEncoder.load(f"local-dir:{tmp_path}")


def test_model_that_is_not_here_is_refused_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="ViT-B-32/openai is not on this machine, and MMSEARCH_OFFLINE forbids"):
        OpenClipEncoder.load("ViT-B-32/openai")
    monkeypatch.delenv("MMSEARCH_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"and http://127\.0\.0\.1:9 cannot be reached"):
        OpenClipEncoder.load("ViT-B-32/openai")


def test_missing_transformers_is_said_before_the_download(siglip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    for name in (f"local-dir:{siglip_folder}", "ViT-B-16-SigLIP2"):
        with pytest.raises(ModelError, match="needs the package transformers, which is not installed"):
            OpenClipEncoder.load(name)


def test_loading_leaves_the_root_logger_alone(clip_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), list(root.filters), root.level)
    with caplog.at_level(logging.DEBUG):
        OpenClipEncoder.load(f"local-dir:{clip_folder}")
    assert (root.handlers, root.filters, root.level) == before
    assert [record for record in caplog.records if record.name == "root"] == []
