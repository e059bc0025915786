"""Weights are never a program, and what is downloaded is whole and what the hub says it is."""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from samples import CLI
from stand_in_hub import Trouble

from mmsearch.config import Settings
from mmsearch.encoders.hub import access, download, registry
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder, load_model
from mmsearch.errors import ModelError, PickledWeightsError
from mmsearch.library.opening import open_library

SAFE, PICKLED = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"


class _Trap:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("executed"),)


@pytest.fixture
def pickled(clip_folder: Path, tmp_path: Path) -> Path:
    """The small model with its weights as a harmless pickle."""
    folder = shutil.copytree(clip_folder, tmp_path / "pickled")
    torch.save(load_file(folder / SAFE), folder / PICKLED)
    (folder / SAFE).unlink()
    return folder


@pytest.fixture
def trap(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small model with a pickle for weights that would write the file ``executed``; that works here."""
    folder = shutil.copytree(clip_folder, tmp_path / "trap")
    (folder / SAFE).unlink()
    torch.save({"state_dict": _Trap()}, folder / PICKLED, pickle_module=pickle)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    torch.load(folder / PICKLED, weights_only=False)
    assert Path("executed").exists()
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("name", [PICKLED, "weights.pth", "weights.pt"])
def test_a_pickle_is_refused_unopened(trap: Path, name: str) -> None:
    (trap / PICKLED).rename(trap / name)
    with pytest.raises(
        PickledWeightsError, match=rf"are a pickle \(.*{re.escape(name)}\).*set trust_pickle = true"
    ) as caught:
        OpenClipEncoder.load(f"local-dir:{trap}")
    assert (caught.value.name, caught.value.file) == (f"local-dir:{trap}", str(trap / name))
    assert not Path("executed").exists()


def test_a_trusted_pickle_runs_no_program_either(trap: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        OpenClipEncoder.load(f"local-dir:{trap}", trust_pickle=True)
    assert not Path("executed").exists()


def test_a_trusted_pickle_of_tensors_is_read(pickled: Path, clip: OpenClipEncoder) -> None:
    assert OpenClipEncoder.load(f"local-dir:{pickled}", trust_pickle=True).card.fingerprint == clip.card.fingerprint


@pytest.mark.parametrize("name", [SAFE, "model.safetensors", "zebra.safetensors"])
def test_safetensors_are_taken_where_there_is_a_pickle_too(
    trap: Path, name: str, clip: OpenClipEncoder, clip_folder: Path
) -> None:
    """open_clip itself takes its own name for a pickle before other names for safetensors."""
    shutil.copy(clip_folder / SAFE, trap / name)
    for trusted in (False, True):
        assert OpenClipEncoder.load(f"local-dir:{trap}", trust_pickle=trusted).card.fingerprint == clip.card.fingerprint
    assert not Path("executed").exists()


def test_of_several_safetensors_open_clips_own_is_taken(
    clip: OpenClipEncoder, clip_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "several")
    weights = load_file(folder / SAFE)
    save_file({**weights, "ln_final.bias": weights["ln_final.bias"] + 1}, folder / "adapter.safetensors")
    assert OpenClipEncoder.load(f"local-dir:{folder}").card.fingerprint == clip.card.fingerprint


def test_a_pickle_in_the_cache_is_refused(downloaded: Callable[..., Path], trap: Path) -> None:
    downloaded("org/name", "open_clip_config.json", (trap / "open_clip_config.json").read_bytes())
    file = downloaded("org/name", PICKLED, (trap / PICKLED).read_bytes())
    with pytest.raises(PickledWeightsError, match=re.escape(str(file))):
        OpenClipEncoder.load("hf-hub:org/name")
    assert not Path("executed").exists()


@pytest.mark.usefixtures("fake_hub")
def test_weights_at_a_plain_address_are_refused_before_the_download() -> None:
    entry = registry.Pretrained("RN50", "mine", "", "", "https://example.invalid/weights.pt", False)
    with pytest.raises(PickledWeightsError, match=r"are a pickle \(https://example\.invalid/weights\.pt\)"):
        load_model(entry.source)


def test_an_option_and_a_setting_trust(mmsearch: CLI, pickled: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    command = ("index", tmp_path / "none", "--model", f"local-dir:{pickled}")
    refused = mmsearch(*command, check=1)
    assert f"mmsearch: the weights of local-dir:{pickled} are a pickle" in refused.stderr
    assert "no pictures found" in mmsearch(*command, "--trust-pickle").stderr
    assert "no pictures found" in mmsearch(*command, "-l", "own", MMSEARCH_TRUST_PICKLE="yes").stderr
    for other in ("eval", "train"):
        assert "--trust-pickle" in mmsearch(other, "--help").stdout


def test_a_library_trusts_by_its_own_settings_alone(pickled: Path, tmp_path: Path) -> None:
    settings = Settings(model=f"local-dir:{pickled}", cache=tmp_path / "cache")
    (tmp_path / "none").mkdir()
    for number, trusted in enumerate((False, True, False)):
        with open_library(tmp_path / str(number), settings=replace(settings, trust_pickle=trusted)) as library:
            if trusted:
                assert library.index(tmp_path / "none").added == 0
            else:
                with pytest.raises(PickledWeightsError):
                    library.index(tmp_path / "none")


@pytest.fixture
def load(
    fake_hub: Any,
    hub_root: Path,
    clip_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[[], str]:
    """Loads ``hf-hub:org/name`` into an empty cache, says nothing on stderr; returns fingerprint or error."""
    shutil.copytree(clip_folder, hub_root / "org" / "name")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    constants = huggingface_hub.constants  # read from the environment when it is imported
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "huggingface" / "hub"))
    template = fake_hub.url + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", fake_hub.url)

    def run() -> str:
        try:
            return OpenClipEncoder.load("hf-hub:org/name").card.fingerprint
        except ModelError as error:
            return str(error)
        finally:
            assert capfd.readouterr() == ("", "")

    return run


def blobs(tmp_path: Path) -> dict[str, int]:
    """What lies where downloads are kept: name -> size."""
    folder = tmp_path / "huggingface" / "hub" / "models--org--name" / "blobs"
    return {file.name: file.stat().st_size for file in folder.iterdir() if file.suffix != ".lock"}


def test_a_download_that_was_cut_goes_on(
    load: Callable[[], str], fake_hub: Any, hub_root: Path, clip: OpenClipEncoder, tmp_path: Path
) -> None:
    weights = (hub_root / "org" / "name" / SAFE).read_bytes()
    sha = hashlib.sha256(weights).hexdigest()
    fake_hub.stated[SAFE] = sha
    part = tmp_path / "huggingface" / "hub" / "models--org--name" / "blobs" / f"{sha}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(weights[:100_000])  # as a killed process leaves it
    assert load() == clip.card.fingerprint
    assert fake_hub.ranges == ["bytes=100000-"]
    assert blobs(tmp_path)[sha] == len(weights)
    assert not part.exists()


def test_a_broken_connection_is_taken_up_where_it_broke(
    load: Callable[[], str], fake_hub: Any, hub_root: Path, clip: OpenClipEncoder
) -> None:
    weights = hub_root / "org" / "name" / SAFE
    save_file(load_file(weights), weights, metadata={"padding": "x" * 12_000_000})
    fake_hub.troubles.append(Trouble(cut=11_000_000, file=SAFE))
    assert load() == clip.card.fingerprint
    assert fake_hub.ranges == [f"bytes={10 * 2**20}-"]  # what came is written in blocks of that size


def test_a_hub_that_is_busy_is_asked_again(
    hub_root: Path, fake_hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    (hub_root / "org" / "name").mkdir(parents=True)
    (hub_root / "org" / "name" / SAFE).write_bytes(b"weights")
    fake_hub.troubles.append(Trouble(429, {"Retry-After": "1"}, times=2))
    download.fetch("hf-hub:org/name", "org/name", [SAFE])
    file = access.cached("org/name", SAFE)
    assert file is not None
    assert file.read_bytes() == b"weights"
    fake_hub.troubles.append(Trouble(429, {"Retry-After": "1"}, times=100))
    monkeypatch.setattr(download, "FAILURES", 1)
    (hub_root / "org" / "name" / "other.safetensors").write_bytes(b"others")
    with pytest.raises(ModelError, match=r"could not be downloaded from .*429"):
        download.fetch("hf-hub:org/name", "org/name", ["other.safetensors"])


def test_a_download_that_is_denied_is_said(load: Callable[[], str], fake_hub: Any) -> None:
    fake_hub.troubles.append(Trouble(403, times=100, file=SAFE))
    said = load()
    assert said.startswith(f"hf-hub:org/name could not be downloaded from {fake_hub.url}: ")
    assert said.endswith("what came is kept, and the same command goes on")


@pytest.mark.parametrize("rest", [b"", b"x" * 1000])
def test_wrong_bytes_are_deleted_and_said(
    rest: bytes, load: Callable[[], str], fake_hub: Any, hub_root: Path, clip: OpenClipEncoder, tmp_path: Path
) -> None:
    weights = hub_root / "org" / "name" / SAFE
    right = hashlib.sha256(weights.read_bytes()).hexdigest()
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) - len(rest)] + rest if rest else whole[:-1] + bytes([whole[-1] ^ 1]))
    fake_hub.stated[SAFE] = right
    got = hashlib.sha256(weights.read_bytes()).hexdigest()
    said = load()
    assert said.startswith(f"the weights of hf-hub:org/name came damaged from {fake_hub.url}: their SHA-256 is {got}, ")
    assert f"the hub states {right}" in said
    assert not [name for name in blobs(tmp_path) if name.startswith(right)]
    weights.write_bytes(whole)
    assert load() == clip.card.fingerprint


def test_a_pickle_on_the_hub_is_not_even_downloaded(load: Callable[[], str], fake_hub: Any, hub_root: Path) -> None:
    (hub_root / "org" / "name" / SAFE).rename(hub_root / "org" / "name" / PICKLED)
    assert load().startswith(f"the weights of hf-hub:org/name are a pickle ({PICKLED})")
    assert fake_hub.asked.count(f"org/name/resolve/main/{PICKLED}") == 1  # HEAD


def test_a_refused_pickle_in_the_cache_gives_way_to_its_safe_twin(
    load: Callable[[], str], downloaded: Callable[..., Path], trap: Path, clip: OpenClipEncoder, monkeypatch: Any
) -> None:
    downloaded("org/name", "open_clip_config.json", (trap / "open_clip_config.json").read_bytes())
    downloaded("org/name", PICKLED, (trap / PICKLED).read_bytes())
    assert load() == clip.card.fingerprint
    assert not Path("executed").exists()
    assert access.cached("org/name", SAFE) is not None
