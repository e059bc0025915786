"""Two small open_clip models with random weights, one of CLIP's kind and one of SigLIP's, and a small model hub."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import open_clip
import pytest
from PIL import Image
from shared import made_once
from small_models import write_open_clip
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
    exports = made_once(factory, f"exports-{key}", lambda folder: export(encoder, folder / key))
    return OnnxEncoder(exports / key)


@pytest.fixture(scope="session")
def clip_export(clip: OpenClipEncoder, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    return exported(clip, tmp_path_factory)


@pytest.fixture(scope="session")
def siglip_export(siglip: OpenClipEncoder, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    return exported(siglip, tmp_path_factory)


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


class Hub(ThreadingHTTPServer):
    """Serves ``root/org/name/file`` as the Hugging Face hub does; files named in ``denied`` get HTTP 403.

    Files with an entry in ``stated`` are large ones, whose SHA-256 is said to be that.  ``cut`` ends all answers after
    so many bytes.  The first ``busy`` requests for a file's content get HTTP 429.
    """

    def __init__(self, root: Path, denied: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.root, self.denied = root, denied
        self.asked: list[str] = []
        self.ranges: list[str] = []  # that were asked for
        self.stated: dict[str, str] = {}  # file name -> SHA-256
        self.cut: int | None = None
        self.busy = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.server.asked.append(path)
        repo, _, name = path.partition("/resolve/main/")
        file = self.server.root / repo / name
        if path.startswith("api/models/"):
            known = (self.server.root / path.removeprefix("api/models/")).is_dir()
            self._send(200 if known else 404, b"{}")
        elif not name or not file.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif name in self.server.denied and self.command == "GET":
            self._send(403, b"")
        elif self.server.busy and self.command == "GET":
            self.server.busy -= 1
            self._send(429, b"", {"Retry-After": "1"})
        else:
            content = file.read_bytes()
            headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": "1" * 40}
            if name in self.server.stated:
                headers["X-Linked-ETag"] = f'"{self.server.stated[name]}"'
            wanted = self.headers["Range"]
            if wanted is None or self.command == "HEAD":
                self._send(200, content, headers)
                return
            self.server.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206, content[start:], headers)

    do_HEAD = do_GET

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: self.server.cut])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


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
