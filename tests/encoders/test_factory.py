"""Which model is used, and that the quick ways are taken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from stand_in_hub import Trouble

from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.factory import EMBEDDED, LoadOptions, choose, exports, for_card
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.errors import ModelError


def put_export(encoder: OnnxEncoder, cache: Path, name: str | None = None) -> Path:
    """A copy of an exported model in the cache, under another name if one is given."""
    folder = shutil.copytree(encoder.folder, cache / "models" / encoder.card.fingerprint)
    (folder / "model.json").write_text(replace(encoder.card, name=name or encoder.card.name).to_json(), "utf-8")
    return folder


def test_embedded_model_by_name(tmp_path: Path, clip_export: OnnxEncoder) -> None:
    choice = choose("embedded", LoadOptions("cpu", tmp_path))
    assert isinstance(choice.encoder, OnnxEncoder)
    assert (choice.encoder.folder, choice.note) == (EMBEDDED, "using the embedded model")
    other = choose("auto", LoadOptions("cpu", tmp_path, ("embedded", "embedded"), embedded=clip_export.folder))
    assert other.encoder.card == clip_export.card


def test_auto_without_a_hub_is_the_embedded_model(
    tmp_path: Path, clip_export: OnnxEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = "ViT-B-32-256/datacomp_s34b_b86k is not on this machine"
    choice = choose("auto", LoadOptions("cpu", tmp_path, embedded=clip_export.folder))
    assert choice.encoder.card == clip_export.card
    assert choice.note == f"using the embedded model: {absent} and MMSEARCH_OFFLINE forbids to download it"
    monkeypatch.delenv("MMSEARCH_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    choice = choose("auto", LoadOptions("cpu", tmp_path, embedded=clip_export.folder))
    assert choice.note == f"using the embedded model: no model hub can be reached and {absent}"
    choice = choose("auto", LoadOptions("cpu", tmp_path, (f"local-dir:{tmp_path}", ""), embedded=clip_export.folder))
    assert choice.note == f"using the embedded model: local-dir:{tmp_path} is not on this machine"


def test_auto_does_not_try_a_hub_that_refuses(fake_hub: Any, tmp_path: Path, clip_export: OnnxEncoder) -> None:
    choice = choose("auto", LoadOptions("cpu", tmp_path, ("hf-hub:org/name", ""), embedded=clip_export.folder))
    assert choice.note == (
        f"using the embedded model: {fake_hub.url} answers with HTTP 401 and hf-hub:org/name is not on this machine"
    )


def test_without_a_hub_nothing_heavy_is_imported(tmp_path: Path, clip_export: OnnxEncoder) -> None:
    put_export(clip_export, tmp_path, "ViT-B-16/openai")
    code = f"""
import sys
from pathlib import Path
from mmsearch.encoders.factory import LoadOptions, choose, for_card
cache, embedded = Path({str(tmp_path)!r}), Path({str(clip_export.folder)!r})
choose("auto", LoadOptions("auto", cache, embedded=embedded)).encoder.encode_texts(["a cat"])
choose("auto", LoadOptions("auto", cache, ("ViT-B-16/openai", ""), embedded=embedded)).encoder.encode_texts(["a cat"])
for_card("ViT-B-16/openai", {clip_export.card.fingerprint!r}, LoadOptions("cpu", cache)).encode_texts(["a cat"])
assert not {{"torch", "open_clip", "huggingface_hub", "transformers"}} & set(sys.modules)
"""
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment.pop("MMSEARCH_OFFLINE")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_exported_model_is_used_by_name(tmp_path: Path, clip_export: OnnxEncoder) -> None:
    folder = put_export(clip_export, tmp_path, "ViT-B-16/openai")
    for spec, defaults in [
        ("ViT-B-16", LoadOptions.defaults),
        ("ViT-B-16/openai", LoadOptions.defaults),
        ("auto", ("ViT-B-16", "")),
    ]:
        choice = choose(spec, LoadOptions("cpu", tmp_path, defaults))
        assert isinstance(choice.encoder, OnnxEncoder)
        assert choice.encoder.folder == folder
    assert choice.note == "using ViT-B-16/openai, the first choice on a CPU"


def test_only_exports_in_order_are_listed(tmp_path: Path, clip_export: OnnxEncoder) -> None:
    assert exports(tmp_path) == []
    folder = put_export(clip_export, tmp_path)
    shutil.copytree(folder, folder.parent / "another-fingerprint")
    shutil.copytree(folder, folder.parent / ".export-running")
    (folder.parent / "incomplete").mkdir()
    (folder.parent / "a file").touch()
    assert [encoder.folder for encoder in exports(tmp_path)] == [folder]


def test_folder_is_exported_once_and_its_weights_are_read_each_time(
    clip: OpenClipEncoder, clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "model")
    name, fingerprint, cache = f"local-dir:{folder}", clip.card.fingerprint, tmp_path / "cache"
    first = for_card(name, fingerprint, LoadOptions("cpu", cache))
    assert isinstance(first, OnnxEncoder)
    assert first.folder == cache / "models" / fingerprint
    assert agreement(first, clip) > 0.999
    written = (first.folder / "image.onnx").stat().st_mtime_ns
    choice = choose(name, LoadOptions("cpu", cache))
    assert isinstance(choice.encoder, OnnxEncoder)
    assert (choice.encoder.folder, choice.note) == (first.folder, f"using {name}")
    assert (first.folder / "image.onnx").stat().st_mtime_ns == written

    weights = load_file(folder / "open_clip_model.safetensors")
    save_file({**weights, "ln_final.bias": weights["ln_final.bias"] + 1}, folder / "open_clip_model.safetensors")
    library = for_card(name, fingerprint, LoadOptions("cpu", cache))  # its export is still there
    np.testing.assert_array_equal(library.encode_texts(["a cat"]), first.encode_texts(["a cat"]))
    shutil.rmtree(cache)
    with pytest.raises(ModelError, match=r"its weights or settings have changed \("):
        for_card(name, fingerprint, LoadOptions("cpu", cache))


def test_model_that_cannot_be_written_runs_in_torch(clip_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be", "utf-8")
    choice = choose(f"local-dir:{clip_folder}", LoadOptions("cpu", tmp_path))
    assert isinstance(choice.encoder, OpenClipEncoder)
    assert choice.note.startswith(f"using local-dir:{clip_folder} in torch: ")


def test_library_of_the_embedded_model(tmp_path: Path, clip_export: OnnxEncoder) -> None:
    card = replace(clip_export.card, name="embedded")
    shipped = shutil.copytree(clip_export.folder, tmp_path / "shipped")
    (shipped / "model.json").write_text(card.to_json(), "utf-8")
    encoder = for_card("embedded", card.fingerprint, LoadOptions("cpu", tmp_path / "cache", embedded=shipped))
    assert encoder.card == card
    with pytest.raises(ModelError, match=r"another version of the embedded model \(0123; this one is"):
        for_card("embedded", "0123", LoadOptions("cpu", tmp_path / "cache", embedded=shipped))


@pytest.mark.parametrize("spec", ["ViT-B-33", "local-dir:/nowhere", "ViT-B-32/openai"])
def test_model_asked_for_by_name_is_not_replaced(spec: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        choose(spec, LoadOptions("cpu", tmp_path))
    with pytest.raises(ModelError):
        for_card(spec, "0123", LoadOptions("cpu", tmp_path))


DOWNLOAD = """
import json, sys
from pathlib import Path
from mmsearch.encoders import factory
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder
from mmsearch.errors import ModelError
cache, embedded, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
for name in names:
    try:
        print(json.dumps(OpenClipEncoder.load(name, trust_pickle="broken" in name).card.fingerprint))
    except ModelError as error:
        print(json.dumps(str(error)))
options = factory.LoadOptions("cpu", cache, ("hf-hub:org/broken", ""), trust_pickle=True, embedded=embedded)
print(json.dumps(factory.choose("auto", options).note))
"""


def test_models_are_downloaded_from_the_hub(
    fake_hub: Any,
    hub_root: Path,
    clip_folder: Path,
    siglip_folder: Path,
    clip: OpenClipEncoder,
    siglip: OpenClipEncoder,
    clip_export: OnnxEncoder,
    tmp_path: Path,
) -> None:
    """In a process of its own, and quietly: huggingface_hub reads its variables when it is imported."""
    for folder, name in ((clip_folder, "clip"), (siglip_folder, "siglip"), (clip_folder, "broken")):
        shutil.copytree(folder, hub_root / "org" / name)
    config = hub_root / "org" / "siglip" / "open_clip_config.json"
    config.write_text(config.read_text("utf-8").replace("taken/from-the-folder", "org/siglip"), "utf-8")
    (hub_root / "org/broken/open_clip_model.safetensors").rename(hub_root / "org/broken/open_clip_pytorch_model.bin")
    fake_hub.troubles.append(Trouble(403, times=100, file="open_clip_pytorch_model.bin"))
    environment = {**os.environ, "HF_HOME": str(tmp_path / "huggingface")}
    names = [f"hf-hub:org/{name}" for name in ("clip", "clip", "siglip", "siglip", "broken", "missing")]
    command = [sys.executable, "-c", DOWNLOAD, str(tmp_path), str(clip_export.folder), *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    *fingerprints, broken, missing, note = (json.loads(line) for line in done.stdout.splitlines())
    assert fingerprints == [clip.card.fingerprint] * 2 + [siglip.card.fingerprint] * 2
    for file in ("clip/open_clip_model.safetensors", "siglip/tokenizer.json"):
        repo, _, name = file.partition("/")
        assert fake_hub.asked.count(f"org/{repo}/resolve/main/{name}") == 1
        assert fake_hub.sent.count(f"org/{file}") == 1  # then it is in the Hugging Face cache
    assert fake_hub.asked.count("api/models/org/clip") == 1
    assert broken.startswith(f"hf-hub:org/broken could not be downloaded from {fake_hub.url}: ")
    assert "403" in broken
    assert missing.startswith(f"hf-hub:org/missing could not be downloaded from {fake_hub.url}: ")
    assert note == f"using the embedded model: {broken}"


def test_downloaded_weights_are_enough_for_auto(downloaded: Callable[..., Path], tmp_path: Path) -> None:
    downloaded("org/name", "open_clip_config.json", b"{}")
    downloaded("org/name", "open_clip_model.safetensors")
    choice = choose("auto", LoadOptions("cpu", tmp_path, ("hf-hub:org/name", "")))
    assert choice.note.startswith("using the embedded model: hf-hub:org/name cannot be loaded: ")  # it was tried
