"""open_clip's models in torch: any name of its list, a folder, or a repository on the hub.

Used on a GPU, and on a CPU once, to export the model for ONNX Runtime (``export/open_clip.py``).
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import huggingface_hub.constants
import numpy as np
import open_clip
import torch
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders import agreement
from mmsearch.encoders.export.tokenizer import convert
from mmsearch.encoders.hub import access, download, pickles, registry
from mmsearch.encoders.hub.registry import Source
from mmsearch.encoders.protocol import ModelCard, preprocess_from
from mmsearch.encoders.texts import TextEncoder
from mmsearch.encoders.torch import patch_regions
from mmsearch.encoders.torch.batches import Batches, Setup, channels_last
from mmsearch.encoders.torch.patch_regions import Grid, PatchRegions
from mmsearch.errors import ModelError, PickledWeightsError
from mmsearch.types import Pixels, Preprocess, Regions, Vectors

logger = logging.getLogger(__name__)
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")  # of a repository: all that a fast tokenizer needs
_loading = threading.Lock()  # one model at a time: _quiet changes settings of the whole process


class ImageTower(nn.Module):
    """``pixels`` (n, size, size, 3) uint8 -> unit rows (n, dim), normalisation included.

    With the grid of its last states, ``both`` gives region tokens too.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, preprocess: Preprocess, grid: Grid | None = None) -> None:
        super().__init__()
        self.model = model
        self.regions = PatchRegions(model.visual, grid) if grid is not None else None
        self.dtype = next(model.parameters()).dtype
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.model.encode_image(self._normalized(pixels))  # type: ignore[operator]
        return F.normalize(vectors.to(torch.float32), dim=-1)

    def both(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Unit rows (n, dim) and tokens (n, side * side, dim of a token), float32."""
        assert self.regions is not None
        vectors, regions = self.regions(self._normalized(pixels))
        return F.normalize(vectors.to(torch.float32), dim=-1), regions

    def _normalized(self, pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255  # (n, 3, size, size)
        return ((images - self.mean) / self.std).to(self.dtype)


class TextTower(nn.Module):
    """``ids`` (n, context) int64 -> unit rows (n, dim)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.model.encode_text(ids)  # type: ignore[operator]
        return F.normalize(vectors.to(torch.float32), dim=-1)


class OpenClipEncoder:
    """An ``Encoder`` over an open_clip model in torch."""

    folder = None

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        card: ModelCard,
        device: str = "cpu",
        grid: Grid | None = None,
        setup: Setup | None = None,
    ) -> None:
        """``model`` runs in the precision that its weights have; it is moved to ``device``.

        It gives region tokens where ``grid`` says what they are made of, whatever the card says of them.  ``setup`` is
        by default what the device likes.
        """
        self.card = replace(card, regions=grid.card if grid is not None else None)
        self.tokenizer, self._device, self._grid = tokenizer, torch.device(device), grid
        self.device = str(self._device)
        self.measured: Path | None = None  # nothing is measured
        self.images = ImageTower(model, card.preprocess, grid).to(self._device).eval()
        self.texts = TextTower(model).to(self._device).eval()
        self._tokens = TextEncoder(tokenizer, card.tokens)
        self._setup = setup or Setup.of(self._device)
        if self._setup.channels_last:
            given = torch.from_numpy(agreement.pictures(card.preprocess.size)).to(self._device)
            channels_last(self.images, self._alone, given)
        self.batch = self._setup.batch  # pictures that are best given at once; 0 where it does not matter
        self._vectors = Batches(self._alone, self._device, self._setup)
        self._both = Batches(self.images.both, self._device, self._setup)

    @classmethod
    def load(
        cls,
        name: str,
        device: str = "cpu",
        precision: Literal["fp32", "fp16"] | None = None,
        trust_pickle: bool = False,
    ) -> OpenClipEncoder:
        """The model of that name, downloaded when it is not on this machine.

        ``name`` is as ``registry.find`` takes it.  ``precision`` is that of the arithmetic, by default fp16 on CUDA and
        fp32 on a CPU; fp16 is tried on a few inputs first, and not used when it changes their vectors.  With
        ``trust_pickle`` weights that are pickles are read, too.  Raises ModelError when there is no such model, or when
        it cannot be downloaded, read, or used for searching.
        """
        source = registry.find(name)
        model, tokenizer = load_model(source, trust_pickle)
        converted, rules = convert(tokenizer)
        with torch.inference_mode():
            dim = int(model.encode_text(torch.zeros((1, rules.context), dtype=torch.int64)).shape[-1])
        preprocess = preprocess_of(model, source.name)
        card = ModelCard(source.name, dim, preprocess, rules, weights_hash(model))
        grid = patch_regions.find(model.visual, preprocess, source.name)
        if (precision or ("fp16" if device == "cuda" else "fp32")) == "fp16":
            half = cls(copy.deepcopy(model).half(), converted, card, device, grid)
            if _same(cls(model, converted, card, grid=grid), half):
                return half
        return cls(model, converted, card, device, grid)

    def copy(self, device: str, setup: Setup | None = None) -> OpenClipEncoder:
        """The same on another device, or set up otherwise.  Raises RuntimeError where there is no room for it."""
        model = copy.deepcopy(self.images.model).to(memory_format=torch.contiguous_format)
        return type(self)(model, self.tokenizer, self.card, device, self._grid, setup or self._setup)

    def encode_images(self, pixels: Pixels) -> Vectors:
        if not len(pixels):
            return np.empty((0, self.card.dim), np.float32)
        return self._vectors(pixels)[0]

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        card = self.card.regions
        if card is None:
            return self.encode_images(pixels), None
        if not len(pixels):
            return np.empty((0, self.card.dim), np.float32), np.empty((0, card.side**2, card.dim), np.float32)
        vectors, regions = self._both(pixels)
        return vectors, regions

    def _alone(self, pixels: Tensor) -> tuple[Tensor]:
        return (self.images(pixels),)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.card.dim), np.float32)
        with torch.inference_mode():
            vectors: Vectors = self.texts(torch.from_numpy(self._tokens(texts)).to(self._device)).cpu().numpy()
        return vectors


def weights_hash(model: nn.Module) -> str:
    """sha256 over the names, types, shapes and bytes of all weights, in the order of their names.

    The same weights give other vectors with another activation, which no weight tells: QuickGELU is hashed too.
    """
    digest = hashlib.sha256()
    if any(type(module).__name__ == "QuickGELU" for module in model.modules()):
        digest.update(b"QuickGELU\n")
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _same(full: OpenClipEncoder, half: OpenClipEncoder) -> bool:
    """Whether half precision gives the vectors of full precision."""
    try:
        cosine = agreement.agreement(full, half)  # nan when it overflows
    except torch.OutOfMemoryError as error:
        raise ModelError(f"{full.card.name} does not fit into the GPU's memory", code="gpu-memory") from error
    except RuntimeError as error:  # a layer that has no half precision on this device
        logger.info("%s does not run in half precision: %s", full.card.name, error)
        return False
    if not cosine > agreement.ENOUGH:
        logger.info("%s needs full precision: half changes its vectors to cosine %.4f", full.card.name, cosine)
    return cosine > agreement.ENOUGH


def preprocess_of(model: Any, name: str) -> Preprocess:
    """What the model itself says about its pictures, in our words."""
    return preprocess_from(dict(model.visual.preprocess_cfg), name)


def load_model(source: Source, trust_pickle: bool = False) -> tuple[Any, Any]:
    """open_clip's model and tokenizer: from this machine without asking the hub, else from the hub if it answers.

    Raises PickledWeightsError, before they are opened, where the weights are a pickle, unless those are trusted.
    """
    if registry.published_folder(source) is not None:
        raise ModelError(f"{source.name} is published as ONNX graphs, which do not run in torch and cannot be trained")
    text_cfg = registry.description(source).get("text_cfg", {})
    borrowed = text_cfg.get("hf_tokenizer_name") or text_cfg.get("hf_model_name")
    if borrowed and importlib.util.find_spec("transformers") is None:  # said before the download
        raise ModelError(
            f"{source.name} needs the package transformers, which is not installed", code="no-packages", extra="models"
        )
    if source.folder is not None:
        return _open(source, trust_pickle, offline=_complete(source))
    absent, failure = f"{source.name} is not on this machine", None
    if registry.weights(source) is not None:
        try:
            return _open(source, trust_pickle, offline=True)  # of a refused pickle the hub may have a safe twin
        except ModelError as error:
            tokenizer = text_cfg.get("hf_tokenizer_name")
            if tokenizer and not isinstance(error, PickledWeightsError) and not _has_tokenizer(source):
                absent = f"{source.name} is on this machine without its tokenizer ({tokenizer})"
            else:
                failure = error
    variable = access.forbidden()
    if variable is not None:
        raise failure or ModelError(f"{absent}, and {variable} forbids to download it")
    status = access.ask(source.repo)
    if status is None:
        raise failure or ModelError(f"{absent}, and {access.endpoint()} cannot be reached")
    offline = False
    if source.repo:
        logger.info("downloading %s from %s", source.name, access.endpoint())
        with _loading, _quiet(False, []):
            offline = _fetch(source, trust_pickle)
    elif source.pretrained is not None:
        pickles.check(source.name, source.pretrained.url, trust_pickle)
        logger.info("downloading %s from %s", source.name, source.pretrained.url)
    return _open(source, trust_pickle, offline)


def _fetch(source: Source, trust_pickle: bool) -> bool:
    """All that the model needs from the hub; whether nothing is left for open_clip and transformers to ask it for.

    Raises ModelError and PickledWeightsError.
    """
    if source.pretrained is None:
        download.fetch(source.name, source.repo, ["open_clip_config.json"])
    download.fetch(source.name, source.repo, registry.hub_files(source), trust_pickle)
    text_cfg = registry.description(source).get("text_cfg", {})
    tower, tokenizer = text_cfg.get("hf_model_name"), text_cfg.get("hf_tokenizer_name")
    if tower:
        download.fetch(source.name, tower, ["config.json"])
    if tokenizer:
        for file in (*_TOKENIZER, "special_tokens_map.json", "added_tokens.json"):
            download.fetch(source.name, tokenizer, [file], needed=False)
    return not (tokenizer or tower) or _has_tokenizer(source)


def _has_tokenizer(source: Source) -> bool:
    """Whether the tokenizer that the model borrows is on this machine, in the form that needs nothing else."""
    repo = registry.description(source).get("text_cfg", {}).get("hf_tokenizer_name")
    return bool(repo) and all(access.cached(repo, file) is not None for file in _TOKENIZER)


def _complete(source: Source) -> bool:
    """Whether a folder holds all of its model, or the hub cannot help.  Raises ModelError when it holds no model."""
    assert source.folder is not None
    description = registry.description(source)
    if not description:
        raise ModelError(f"{source.folder} is no open_clip model: open_clip_config.json is missing or unreadable")
    if registry.weights(source) is None:
        raise ModelError(f"{source.folder} holds no weights, such as open_clip_model.safetensors")
    return (
        "hf_model_name" not in description.get("text_cfg", {}) or access.forbidden() is not None or access.ask() is None
    )


def _open(source: Source, trust_pickle: bool, offline: bool) -> tuple[Any, Any]:
    """open_clip's model with its weights, and its tokenizer.  Raises ModelError with the reason in one sentence."""
    entry, file = source.pretrained, registry.weights(source)
    if file is not None:
        pickles.check(source.name, str(file), trust_pickle)
    said: list[str] = []
    try:
        with _loading, _quiet(offline, said):
            model = open_clip.create_model(
                source.model,
                entry.tag if entry else None,
                force_quick_gelu=entry is not None and entry.quick_gelu,
                pretrained_text=False,
                load_weights=False,  # it may choose a pickle although there is something better
            )
            file = registry.weights(source)
            if file is None:
                raise FileNotFoundError("there are no weights")
            pickles.check(source.name, str(file), trust_pickle)
            open_clip.load_checkpoint(model, str(file), weights_only=True)
            tokenizer = _tokenizer(source, offline)
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(f"{source.name} needs another package ({error}); install what it names") from error
    except Exception as error:  # open_clip, safetensors, torch and huggingface_hub share no base class
        if registry.weights(source) is None:
            reason = _sentence(said[-1] if said else str(error))  # open_clip logs the cause of some failures only
            raise ModelError(f"{source.name} could not be downloaded from {access.endpoint()}: {reason}") from error
        reason = _sentence(str(error)) or type(error).__name__
        raise ModelError(f"{source.name} cannot be loaded: {reason}") from error
    return model.eval(), tokenizer


def _tokenizer(source: Source, offline: bool) -> Any:
    """open_clip's tokenizer of the model."""
    text_cfg = registry.description(source).get("text_cfg", {})
    repo = text_cfg.get("hf_tokenizer_name")
    if offline and repo and source.folder is None:
        file = access.cached(repo, "tokenizer.json")
        if file is not None and _has_tokenizer(source):
            # By its repository's name, transformers would miss a config.json there, which few of them have.
            return HFTokenizer(
                str(file.parent),
                context_length=text_cfg.get("context_length", DEFAULT_CONTEXT_LENGTH),
                tokenizer_mode=text_cfg.get("tokenizer_mode"),
                **text_cfg.get("tokenizer_kwargs", {}),
            )
    return open_clip.get_tokenizer(source.model)


def _sentence(text: str) -> str:
    return " ".join(text.split())[:300]


@contextlib.contextmanager
def _quiet(offline: bool, said: list[str]) -> Iterator[None]:
    """Keeps open_clip and the hub's library quiet; ``offline`` keeps the latter from asking the hub.

    open_clip logs on the root logger, which, without a handler, would install one for the whole process.  Its warnings
    and errors are added to ``said`` instead.
    """
    root, null, thread = logging.getLogger(), logging.NullHandler(), threading.get_ident()
    others = [logging.getLogger(name) for name in ("huggingface_hub", "transformers", "timm")]
    levels = [other.level for other in others]
    before = huggingface_hub.constants.HF_HUB_OFFLINE

    def of_others(record: logging.LogRecord) -> bool:
        if record.thread == thread and record.levelno >= logging.WARNING:
            said.append(record.getMessage())
        return record.thread != thread

    root.addHandler(null)
    root.addFilter(of_others)
    for other in others:
        other.setLevel(logging.CRITICAL + 1)
    huggingface_hub.constants.HF_HUB_OFFLINE = before or offline
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before
        for other, level in zip(others, levels, strict=True):
            other.setLevel(level)
        root.removeFilter(of_others)
        root.removeHandler(null)
