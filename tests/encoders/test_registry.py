"""Names of models, without importing open_clip."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from open_clip.pretrained import _PRETRAINED

from mmsearch.encoders.hub import open_clip_table, registry
from mmsearch.encoders.hub.registry import Source
from mmsearch.errors import ModelError

Put = Callable[..., Path]


@pytest.mark.skipif(not open_clip_table.is_current(), reason="the table is of another open_clip: make model-table")
def test_table_is_open_clips() -> None:
    wanted = [
        (model, tag, facts.get("hf_hub", ""), facts.get("url", ""), bool(facts.get("quick_gelu")))
        for model, tags in _PRETRAINED.items()
        for tag, facts in tags.items()
    ]
    found = [
        (entry.model, entry.tag, f"{entry.repo}/{entry.file}" if entry.repo else "", entry.url, entry.quick_gelu)
        for entry in registry.entries()
    ]
    assert found == wanted
    assert open_clip_table.FILE.read_text("utf-8") == open_clip_table.generated(), "run: make model-table"


def test_a_model_that_only_the_installed_open_clip_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    older = json.loads(open_clip_table.FILE.read_text("utf-8"))
    del older["models"]["ViT-B-32"]
    monkeypatch.setattr(open_clip_table, "FILE", tmp_path / "older.json")
    open_clip_table.FILE.write_text(json.dumps(older), "utf-8")
    monkeypatch.setattr(registry, "table", lambda: registry._table(open_clip_table.stored()))
    with pytest.raises(ModelError, match="there is no model 'ViT-B-32/openai'"):
        registry.find("ViT-B-32/openai")
    open_clip_table.FILE.write_text(json.dumps({**older, "version": "3.2.0"}), "utf-8")
    assert registry.find("ViT-B-32/openai").name == "ViT-B-32/openai"
    with pytest.raises(ModelError, match="there is no model 'qqqqq'"):
        registry.find("qqqqq")


def test_name_with_tag() -> None:
    source = registry.find("ViT-B-32/laion2b-s34b-b79k")  # open_clip takes both spellings
    assert (source.name, source.model) == ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32")
    assert (source.repo, source.folder) == ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", None)


def test_folder_and_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = registry.find("local-dir:here")
    assert (folder.name, folder.folder, folder.repo) == (f"local-dir:{tmp_path / 'here'}", tmp_path / "here", "")
    assert registry.find("hf-hub:org/name") == Source("hf-hub:org/name", "hf-hub:org/name")
    assert registry.find("hf-hub:org/name").repo == "org/name"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("ViT-B-32", "ViT-B-32/datacomp_xl_s13b_b90k"),
        ("ViT-B/32", "ViT-B-32/datacomp_xl_s13b_b90k"),
        ("ViT-B-32-256", "ViT-B-32-256/datacomp_s34b_b86k"),
        ("ViT-B-16-SigLIP2", "ViT-B-16-SigLIP2/webli"),
        ("ViT-g-14", "ViT-g-14/laion2b_s34b_b88k"),
        ("RN50", "RN50/openai"),
    ],
)
def test_bare_name_gets_its_best_weights(name: str, full: str, downloaded: Put) -> None:
    assert registry.find(name).name == full


def test_bare_name_gets_the_weights_that_are_here(downloaded: Put) -> None:
    assert registry.find("ViT-B-32", ["ViT-B-32/openai"]).name == "ViT-B-32/openai"
    downloaded("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_pytorch_model.bin")
    assert registry.find("ViT-B-32").name == "ViT-B-32/laion2b_s34b_b79k"
    assert registry.find("ViT-B-32", ["ViT-B-32/openai"]).name == "ViT-B-32/laion2b_s34b_b79k"
    assert registry.find("ViT-B-16").name == "ViT-B-16/dfn2b"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ViT-B-33", "there is no model 'ViT-B-33'; did you mean ViT-B-32 or"),
        ("vit-b-32", "did you mean ViT-B-32 or"),
        ("ViT-B-32/laion", "ViT-B-32 has no weights 'laion' but, for example, laion2b_e16, laion400m_e3"),
        ("ViT-B-32/zzz", "for example, datacomp_xl_s13b_b90k, "),
        ("ViT-M-32", "open_clip has no pretrained weights for 'ViT-M-32'"),
        ("qqqqq", "there is no model 'qqqqq'"),
    ],
)
def test_unknown_name_is_refused_with_close_ones(name: str, sentence: str) -> None:
    with pytest.raises(ModelError) as error:
        registry.find(name)
    assert sentence in str(error.value)
    assert error.value.code == "unknown-model"


def test_the_name_of_a_folder_alone_is_told_how_to_say_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"for the folder of that name say local-dir:{tmp_path}"):
        registry.find(str(tmp_path))


def test_weights_are_found_where_they_were_downloaded(downloaded: Put) -> None:
    laion, vitamin = registry.find("ViT-B-32/laion2b_s34b_b79k"), registry.find("ViTamin-S/datacomp1b")
    assert (registry.weights(laion), registry.weights(vitamin)) == (None, None)
    pickled = downloaded(laion.repo, "open_clip_pytorch_model.bin")
    assert registry.weights(laion) == pickled
    safe = downloaded(laion.repo, "open_clip_model.safetensors")
    assert registry.weights(laion) == safe
    own = downloaded(vitamin.repo, "pytorch_model.bin")
    assert registry.weights(vitamin) == own


def test_weights_of_a_repository_need_its_description(downloaded: Put) -> None:
    source = registry.find("hf-hub:org/name")
    safe = downloaded("org/name", "open_clip_model.safetensors")
    assert registry.weights(source) is None
    downloaded("org/name", "open_clip_config.json", b'{"model_cfg": {"embed_dim": 8}}')
    assert registry.weights(source) == safe
    assert registry.description(source) == {"embed_dim": 8}


def test_weights_from_a_plain_address(tmp_path: Path) -> None:
    source = registry.find("RN50/cc12m")
    file = Path.home() / ".cache" / "clip" / "rn50-quickgelu-cc12m-f000538c.pt"
    entry = registry.Pretrained("RN50", "cc12m", "", "", f"https://example.org/{file.name}", True)
    assert registry.weights(entry.source) is None
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert registry.weights(entry.source) == file
    assert source.name == entry.name


def test_weights_in_a_folder(tmp_path: Path) -> None:
    source = registry.find(f"local-dir:{tmp_path}")
    assert registry.weights(source) is None
    (tmp_path / "a.bin").touch()
    assert registry.weights(source) == tmp_path / "a.bin"
    assert registry.description(source) == {}


def test_neither_torch_nor_open_clip_is_imported() -> None:
    code = (
        "import sys; from mmsearch.encoders import catalogue, device, factory\n"
        "from mmsearch.encoders.hub import registry\n"
        "registry.find('ViT-B-32');"
        "assert not {'torch', 'open_clip', 'onnxruntime', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
