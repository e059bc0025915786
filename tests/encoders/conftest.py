"""Two small open_clip models with random weights, one of CLIP's kind and one of SigLIP's, and a small model hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import kept_graphs
import kept_models
import numpy as np
import open_clip
import pytest
from PIL import Image
from published_models import write_published
from shared import made_once
from small_models import write_open_clip
from stand_in_hub import Hub
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from mmsearch.encoders.export.open_clip import export
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.open_clip_encoder import OpenClipEncoder

CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
CLIP_PICTURES = {
    "mean": open_clip.OPENAI_DATASET_MEAN,
    "std": open_clip.OPENAI_DATASET_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
SIGLIP = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160,
        "timm_model_name": "test_vit",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 64,
        "vocab_size": 256,
        "hf_tokenizer_name": "taken/from-the-folder",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 64,
        "heads": 2,
        "layers": 1,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
    },
}
SIGLIP_PICTURES = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "resize_mode": "squash"}


@pytest.fixture(autouse=True, name="models")
def graphs() -> Iterator[None]:
    """Graphs run each time: they are what is tested."""
    with kept_models.kept(runs=False):
        yield


@contextmanager
def kept(factory: pytest.TempPathFactory) -> Iterator[None]:
    """Towers of one shape are traced once, and exported once with the same weights."""
    folder = made_once(factory, "graphs", Path.mkdir)
    with kept_graphs.kept(folder), kept_graphs.kept_exports(folder / "exports"):
        yield


@pytest.fixture(scope="module", autouse=True)
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with kept(tmp_path_factory):
        yield


def write_tokenizer(folder: Path) -> None:
    """A small SentencePiece-like tokenizer that ends and pads with ``</s>``, as SigLIP's does."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    sentences = ["a photo of a cat", "two dogs run on the beach", "a red car", "children at a birthday party"]
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "clip", partial(write_open_clip, config=CLIP, pictures=CLIP_PICTURES))


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        folder.mkdir()
        write_tokenizer(folder)
        write_open_clip(folder, SIGLIP, pictures=SIGLIP_PICTURES)

    return made_once(tmp_path_factory, "siglip", make)


@pytest.fixture(scope="session")
def clip(clip_folder: Path) -> OpenClipEncoder:
    return OpenClipEncoder.load(f"local-dir:{clip_folder}")


@pytest.fixture(scope="session")
def siglip(siglip_folder: Path) -> OpenClipEncoder:
    return OpenClipEncoder.load(f"local-dir:{siglip_folder}")


def exported(encoder: OpenClipEncoder, factory: pytest.TempPathFactory) -> OnnxEncoder:
    """The graphs of a model; they are made once."""
    key = encoder.card.fingerprint

    def make(folder: Path) -> None:
        with kept(factory):  # as fixtures of a session are made before those of a module
            export(encoder, folder / key)

    exports = made_once(factory, f"exports-{key}", make)
    return OnnxEncoder(exports / key)


@pytest.fixture(scope="session")
def clip_export(clip: OpenClipEncoder, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    return exported(clip, tmp_path_factory)


@pytest.fixture(scope="session")
def siglip_export(siglip: OpenClipEncoder, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    return exported(siglip, tmp_path_factory)


def model_cfg(folder: Path) -> dict[str, Any]:
    """What open_clip calls so, of one of its folders."""
    found: dict[str, Any] = json.loads((folder / "open_clip_config.json").read_text("utf-8"))["model_cfg"]
    return found


@pytest.fixture(scope="session")
def clip_published(clip: OpenClipEncoder, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One row a run, unit vectors."""
    config = model_cfg(clip_folder)
    return made_once(tmp_path_factory, "published", lambda folder: write_published(folder, clip, config))


@pytest.fixture(scope="session")
def siglip_published(siglip: OpenClipEncoder, siglip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Any number of rows, vectors of any length."""

    def make(folder: Path) -> None:
        write_published(folder, siglip, model_cfg(siglip_folder), rows=None, unit=False)

    return made_once(tmp_path_factory, "published-siglip", make)


@pytest.fixture(params=["clip", "siglip"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each of the two models in turn."""
    return str(request.param)


@pytest.fixture
def folder(kind: str, request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{kind}_folder")
    return found


@pytest.fixture
def torch_encoder(kind: str, request: pytest.FixtureRequest) -> OpenClipEncoder:
    found: OpenClipEncoder = request.getfixturevalue(kind)
    return found


@pytest.fixture
def onnx_encoder(kind: str, request: pytest.FixtureRequest) -> OnnxEncoder:
    found: OnnxEncoder = request.getfixturevalue(f"{kind}_export")
    return found


@pytest.fixture(scope="session")
def photos_in_memory() -> list[Image.Image]:
    """Smooth random pictures: wide, high, square, smaller than any model wants."""
    random = np.random.default_rng(0)
    return [
        Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        for size in ((400, 300), (333, 500), (160, 160), (50, 40))
    ]


@pytest.fixture
def hub_root(tmp_path: Path) -> Path:
    """What ``fake_hub`` serves."""
    root = tmp_path / "hub"
    root.mkdir()
    return root


@pytest.fixture
def fake_hub(hub_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, that ``HF_ENDPOINT`` points to and that may be asked."""
    server = Hub(hub_root)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("MMSEARCH_OFFLINE", raising=False)
    yield server
    server.stop()


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``downloaded(repo, name, content)`` puts a file where huggingface_hub keeps its downloads."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))

    def put(repo: str, name: str, content: bytes = b"weights") -> Path:
        top = tmp_path / "huggingface" / "hub" / f"models--{repo.replace('/', '--')}"
        file = top / "snapshots" / ("1" * 40) / name
        for parent in (file.parent, top / "refs"):
            parent.mkdir(parents=True, exist_ok=True)
        (top / "refs" / "main").write_text("1" * 40, "utf-8")
        file.write_bytes(content)
        return file

    return put
