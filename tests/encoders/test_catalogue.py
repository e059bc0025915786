"""The list of models, with where each is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmsearch.encoders.catalogue import ModelInfo, available
from mmsearch.encoders.hub import languages, registry
from mmsearch.encoders.onnx.encoder import OnnxEncoder

DEFAULTS = ("ViT-B-32-256/datacomp_s34b_b86k", "ViT-B-16-SigLIP2/webli")


def test_nearest_models(downloaded: Callable[..., Path], clip_export: OnnxEncoder, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = shutil.copytree(clip_export.folder, cache / "models" / clip_export.card.fingerprint)
    (folder / "model.json").write_text(replace(clip_export.card, name="RN50/openai").to_json(), "utf-8")
    downloaded("timm/resnet50_clip.openai", "open_clip_model.safetensors")  # exported too: comes once under each name
    downloaded("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_model.safetensors", b"12345")
    downloaded("org/name", "open_clip_model.safetensors", b"123")
    downloaded("org/name", "open_clip_config.json", b'{"model_cfg": {"embed_dim": 8}}')
    downloaded("bert/of-another-program", "model.safetensors")
    small = replace(OnnxEncoder(folder).card, precision="int8")
    quantized = shutil.copytree(folder, cache / "models" / small.fingerprint)
    (quantized / "model.json").write_text(small.to_json(), "utf-8")
    sizes = {
        OnnxEncoder(each).card.precision: sum(file.stat().st_size for file in each.iterdir())
        for each in (folder, quantized)
    }
    exported = [(small.fingerprint, "int8"), (clip_export.card.fingerprint, "float32")]
    assert available(cache, False, (*DEFAULTS, "misspelt"), tmp_path / "no embedded model") == [
        *(
            ModelInfo("RN50/openai", 32, 64, sizes[facts[1]], "exported", *facts, "English")
            for facts in sorted(exported)
        ),
        ModelInfo("ViT-B-32/laion2b_s34b_b79k", 512, 224, 5, "downloaded", languages="English"),
        ModelInfo("ViT-B-32-256/datacomp_s34b_b86k", 512, 256, None, "hub", languages="English"),
        ModelInfo("ViT-B-16-SigLIP2/webli", 768, 224, None, "hub", languages="109 languages"),
        ModelInfo("RN50-quickgelu/openai", 1024, 224, 7, "downloaded", languages="English"),
        ModelInfo("hf-hub:org/name", 8, None, 3, "downloaded"),
    ]


def test_full_list_has_every_open_clip_model(tmp_path: Path) -> None:
    found = available(tmp_path, full=True)
    assert [info.name for info in found] == ["embedded", *(entry.name for entry in registry.entries())]
    assert found[0].where == "embedded"
    assert {info.where for info in found[1:]} == {"hub"}
    assert all(info.dim and info.image_size for info in found)


@pytest.mark.parametrize(
    ("described", "read"),
    [
        ({}, None),
        ({"text_cfg": {"width": 512}}, None),
        ({"text_cfg": []}, None),
        ({"text_cfg": {"hf_model_name": "xlm-roberta-base"}}, "100 languages"),
        ({"text_cfg": {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP2"}}, "109 languages"),
        ({"text_cfg": {"hf_tokenizer_name": "bert-base-uncased"}}, "English"),
        ({"languages": ["Dutch", "English"]}, "Dutch, English"),
        ({"languages": "Welsh", "text_cfg": {"hf_tokenizer_name": "bert-base-uncased"}}, "Welsh"),
        ({"languages": 7}, None),
    ],
)
def test_a_description_tells_the_languages(described: dict[str, Any], read: str | None) -> None:
    assert languages.of_description(described) == read


def test_architectures_read_what_their_authors_say(tmp_path: Path) -> None:
    listed = {info.name: info.languages for info in available(tmp_path, full=True)}
    assert listed["embedded"] == listed["ViT-B-32/openai"] == listed["ViT-B-16-SigLIP/webli"] == "English"
    assert listed["ViT-B-16-SigLIP2/webli"] == "109 languages"
    assert listed["ViT-B-16-SigLIP-i18n-256/webli"] == "100+ languages"
    assert listed["xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"] == "100 languages"
    assert listed["nllb-clip-base/v1"] == "201 languages"
    assert listed["ViT-H-14-worldwide/metaclip2_worldwide"] == "300+ languages"
    assert listed["roberta-ViT-B-32/laion2b_s12b_b32k"] == "English"
