"""ONNX exports that others publish are taken as they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from open_clip_reference import cosines, reference
from PIL import Image
from published_models import TEXTUAL, VISUAL, WITHOUT_TORCH, outside, recast
from stand_in_hub import Hub, Trouble

from mmsearch.encoders.agreement import TEXTS
from mmsearch.encoders.factory import LoadOptions, choose, for_card
from mmsearch.encoders.onnx.published import PublishedEncoder
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.errors import ModelError
from mmsearch.media.decode import prepare


@pytest.fixture
def copy(clip_published: Path, tmp_path: Path) -> Path:
    return shutil.copytree(clip_published, tmp_path / "model")


@pytest.fixture
def agrees(clip_folder: Path, photos_in_memory: list[Image.Image], tmp_path: Path) -> Callable[..., None]:
    """``agrees(folder)``: its vectors are those of open_clip's own functions."""

    def check(folder: Path, model: Path = clip_folder, least: float = 0.9999) -> None:
        images, texts = reference(model, photos_in_memory, list(TEXTS))
        encoder = PublishedEncoder(folder, "mine", tmp_path / "cache")
        pixels = np.stack([prepare(image, encoder.card.preprocess) for image in photos_in_memory])
        assert cosines(encoder.encode_images(pixels), images) > least
        assert cosines(encoder.encode_texts(TEXTS), texts) > least
        np.testing.assert_allclose(np.linalg.norm(encoder.encode_images(pixels), axis=1), 1, atol=1e-6)
        assert encoder.encode_pictures(pixels)[1] is None
        assert encoder.encode_images(pixels[:0]).shape == encoder.encode_texts([]).shape == (0, encoder.card.dim)

    return check


def test_one_row_a_run(agrees: Callable[..., None], clip_published: Path) -> None:
    agrees(clip_published)


def test_any_rows_and_lengths(agrees: Callable[..., None], siglip_published: Path, siglip_folder: Path) -> None:
    agrees(siglip_published, siglip_folder)


def test_other_numbers(agrees: Callable[..., None], copy: Path) -> None:
    recast(copy / VISUAL, TensorProto.FLOAT16, TensorProto.FLOAT16)
    recast(copy / TEXTUAL, TensorProto.INT64)
    agrees(copy, least=0.999)


def test_weights_beside_the_graph(agrees: Callable[..., None], copy: Path) -> None:
    before = PublishedEncoder(copy, "mine", copy / "cache").card.weights
    for name in (VISUAL, TEXTUAL):
        outside(copy / name)
    agrees(copy)
    data = copy / f"{VISUAL}.data"
    after = PublishedEncoder(copy, "mine", copy / "cache").card.weights
    content = bytearray(data.read_bytes())
    content[100] ^= 1
    data.write_bytes(content)
    assert len({before, after, PublishedEncoder(copy, "mine", copy / "cache").card.weights}) == 3
    data.unlink()
    with pytest.raises(ModelError, match=r"visual/model\.onnx cannot be loaded"):
        PublishedEncoder(copy, "mine", copy / "cache")


def test_files_at_the_top_and_without_a_pad_token(agrees: Callable[..., None], copy: Path) -> None:
    (copy / "visual" / "preprocess_cfg.json").rename(copy / "preprocess_cfg.json")
    (copy / "textual" / "tokenizer.json").rename(copy / "tokenizer.json")
    (copy / "textual" / "tokenizer_config.json").unlink()
    agrees(copy)


def test_without_a_description_the_graphs_tell(agrees: Callable[..., None], copy: Path) -> None:
    (copy / "config.json").unlink()
    card = PublishedEncoder(copy, "mine", copy / "cache").card
    assert (card.dim, card.tokens.context, card.tokens.clean) == (32, 77, "whitespace")


def test_what_was_found_out_is_remembered(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = PublishedEncoder(copy, "mine", tmp_path / "cache").card
    monkeypatch.setattr("mmsearch.encoders.onnx.published._found_out", None)
    assert PublishedEncoder(copy, "mine", tmp_path / "cache").card == card
    assert PublishedEncoder(copy, "other", tmp_path / "cache").card.fingerprint == card.fingerprint
    monkeypatch.undo()
    (memory,) = (tmp_path / "cache" / "published").iterdir()
    for damage in ("", "[]", '{"stamp": 1}', memory.read_text("utf-8").replace('"dim": 32', '"dim": "x"')):
        memory.write_text(damage, "utf-8")
        assert PublishedEncoder(copy, "mine", tmp_path / "cache").card == card


def test_a_changed_description_is_another_model(copy: Path, tmp_path: Path) -> None:
    name, options = f"local-dir:{copy}", LoadOptions("cpu", tmp_path / "cache")
    before = choose(name, options)
    assert before.note == f"using {name}"
    assert for_card(name, before.encoder.card.fingerprint, options).card == before.encoder.card
    file = copy / "visual" / "preprocess_cfg.json"
    file.write_text(file.read_text("utf-8").replace("shortest", "squash"), "utf-8")
    with pytest.raises(ModelError, match="its weights or settings have changed"):
        for_card(name, before.encoder.card.fingerprint, options)


def replace_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **values}), "utf-8")


def other_input(file: Path, name: str, shape: list[int], kind: int) -> None:
    """A graph that takes and gives something else."""
    given = helper.make_tensor_value_info(name, kind, shape)
    found = helper.make_tensor_value_info("same", kind, shape)
    graph = helper.make_graph([helper.make_node("Identity", [name], ["same"])], "other", [given], [found])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda top: (top / TEXTUAL).write_bytes(b"no graph"), r"textual/model\.onnx cannot be loaded"),
        (lambda top: (top / "textual" / "tokenizer.json").unlink(), r"textual/tokenizer\.json or tokenizer\.json miss"),
        (lambda top: (top / "textual" / "tokenizer.json").write_text("{}"), r"tokenizer\.json cannot be read"),
        (lambda top: (top / "visual" / "preprocess_cfg.json").write_text("[]"), "how its pictures are prepared"),
        (lambda top: (top / "config.json").write_text("nonsense"), r"config\.json cannot be read"),
        (lambda top: replace_json(top / "config.json", embed_dim="x"), "dim is x; wanted is a whole number"),
        (lambda top: replace_json(top / "config.json", text_cfg=[7]), "describes no model that can be used"),
        (lambda top: replace_json(top / "config.json", text_cfg={"context_length": 10**9}), "context_length is 10000"),
        (lambda top: replace_json(top / "visual" / "preprocess_cfg.json", size=10**9), "size is 1000000000; wanted is"),
        (lambda top: replace_json(top / "visual" / "preprocess_cfg.json", std=[0, 0, 0]), "std is 0"),
        (lambda top: replace_json(top / "config.json", embed_dim=99), "config.json says 99"),
        (
            lambda top: replace_json(top / "config.json", text_cfg={"context_length": 64}),
            r"wanted is one input \(n, 64",
        ),
        (
            lambda top: replace_json(top / "visual" / "preprocess_cfg.json", size=[32, 32]),
            r"takes image \(1, 3, 64, 64\) float; wanted is one input \(n, 3, 32, 32\), pictures as floating",
        ),
        (
            lambda top: other_input(top / TEXTUAL, "words", [1, 77], TensorProto.FLOAT),
            r"takes words \(1, 77\) float; wanted is one input \(n, 77\), ids of tokens as whole numbers",
        ),
        (
            lambda top: other_input(top / VISUAL, "image", [1, 3, 64, 64], TensorProto.FLOAT),
            r"gives same \(1, 3, 64, 64\) float; wanted is one output \(n, dimensions\)",
        ),
    ],
)
def test_what_does_not_fit_is_said(copy: Path, tmp_path: Path, damage: Callable[[Path], object], sentence: str) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=sentence):
        PublishedEncoder(copy, "mine", tmp_path / "cache")


def test_it_is_not_trained_and_not_run_in_torch(clip_published: Path) -> None:
    with pytest.raises(ModelError, match="is published as ONNX graphs, which do not run in torch"):
        OpenClipEncoder.load(f"local-dir:{clip_published}")


def without_torch(place: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**kept, "HOME": str(place), **variables}
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments, "-l", str(place / "library")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=place)
    assert done.returncode == 0, done.stderr
    return done


def test_a_folder_needs_neither_torch_nor_open_clip(clip_published: Path, photos: Path, tmp_path: Path) -> None:
    done = without_torch(tmp_path, "index", str(photos), "--model", f"local-dir:{clip_published}")
    assert "5 added" in done.stderr
    found = without_torch(tmp_path, "query", "-k", "2", "--paths", "a cat").stdout
    assert len(found.splitlines()) == 2


def test_a_repository_is_downloaded_and_needs_neither(
    clip_published: Path, photos: Path, fake_hub: Hub, hub_root: Path, tmp_path: Path
) -> None:
    name = "hf-hub:some-app/ViT-B-32__openai"
    repo = shutil.copytree(clip_published, hub_root / "some-app" / "ViT-B-32__openai")
    outside(repo / TEXTUAL)
    fake_hub.troubles.append(Trouble(429, {"Retry-After": "1"}, on="api", times=2))
    variables = {"HF_ENDPOINT": fake_hub.url, "MMSEARCH_OFFLINE": "0"}
    done = without_torch(tmp_path, "index", str(photos), "--model", name, **variables)
    assert f"downloading {name} from {fake_hub.url}" in done.stderr
    assert f"{fake_hub.url} is busy (HTTP 429): asking again in 1 s" in done.stderr
    assert "5 added" in done.stderr
    assert "some-app/ViT-B-32__openai/visual/model.armnn" not in fake_hub.sent
    fake_hub.stop()
    found = without_torch(tmp_path, "query", "-k", "2", "--paths", "a cat", **variables)
    assert (len(found.stdout.splitlines()), found.stderr) == (2, "")
    (listed,) = (
        one for one in map(json.loads, without_torch(tmp_path, "models", "--json").stdout.splitlines())
        if one["name"] == name
    )  # fmt: skip
    assert (listed["dim"], listed["where"], listed["languages"], listed["in_use"]) == (
        32,
        "downloaded",
        "English",
        True,
    )
    assert listed["bytes"] > (clip_published / VISUAL).stat().st_size
