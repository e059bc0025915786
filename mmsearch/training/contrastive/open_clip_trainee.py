"""Any open_clip model as a ``Trainee``.

Vision and text transformers are cut between their layers.  Other towers (ResNets, ConvNeXts, towers from transformers)
are trained as a whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import TextTransformer, VisionTransformer, text_global_pool
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from mmsearch.encoders.export.tokenizer import convert
from mmsearch.encoders.hub import registry
from mmsearch.encoders.hub.registry import Source
from mmsearch.encoders.texts import TextEncoder
from mmsearch.encoders.torch import open_clip_encoder
from mmsearch.errors import ConfigError
from mmsearch.media.filesystem import atomic_write
from mmsearch.training.common.optimize import Group
from mmsearch.training.contrastive.recipe import ALL


class _Vision:
    """An image tower in three parts: embedding, layers, pooling."""

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        self.width = 0  # of a state; 0 where the tower cannot be cut
        self.layers: list[nn.Module] = []
        above: tuple[str, ...] = ()
        if isinstance(visual, VisionTransformer):
            self.layers, above = list(visual.transformer.resblocks), ("ln_post", "proj", "attn_pool")
            self.width = int(visual.positional_embedding.shape[-1])
        elif isinstance(visual, TimmModel) and type(visual.trunk) is TimmVisionTransformer:
            self.layers = list(visual.trunk.blocks)
            above = ("head", "trunk.norm.", "trunk.attn_pool", "trunk.fc_norm", "trunk.head")
            self.width = int(visual.trunk.embed_dim)
        inside = {id(p) for layer in self.layers for p in layer.parameters()}
        rest = [(name, p) for name, p in visual.named_parameters() if id(p) not in inside]
        self.above = [p for name, p in rest if name.startswith(above)] if self.layers else []
        self.below = [p for name, p in rest if not (self.layers and name.startswith(above))]

    def embed(self, images: Tensor) -> Tensor:
        """(n, 3, size, size) -> (n, s, width)."""
        states: Tensor
        if isinstance(self.visual, VisionTransformer):
            states = self.visual._embeds(images)
        else:
            trunk = self.visual.trunk
            states = trunk.norm_pre(trunk.patch_drop(trunk._pos_embed(trunk.patch_embed(images))))
        return states

    def run(self, states: Tensor, start: int, stop: int) -> Tensor:
        flip = isinstance(self.visual, VisionTransformer) and not self.visual.transformer.batch_first
        states = states.transpose(0, 1) if flip else states
        for layer in self.layers[start:stop]:
            states = layer(states)
        return states.transpose(0, 1) if flip else states

    def finish(self, states: Tensor) -> Tensor:
        pooled: Tensor
        if isinstance(self.visual, VisionTransformer):
            pooled = self.visual._pool(states)[0]
            return pooled @ self.visual.proj if self.visual.proj is not None else pooled
        trunk = self.visual.trunk
        pooled = self.visual.head(trunk.forward_head(trunk.norm(states)))
        return pooled


class _Language:
    """A text tower in three parts; ``holder`` is the model itself (CLIP) or its ``text``."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.holder = holder = getattr(model, "text", model)
        self.layers: list[nn.Module] = []
        self.width, self.above, self.below = 0, [], []
        self.causal = getattr(holder, "attn_mask", None) is not None
        self.pool_type = getattr(holder, "text_pool_type", getattr(holder, "pool_type", ""))
        self.eos_id: Any = getattr(holder, "text_eos_id", getattr(holder, "eos_id", None))
        plain = holder is model or isinstance(holder, TextTransformer)
        plain = plain and getattr(holder, "cls_emb", None) is None and not getattr(holder, "use_pad_mask", False)
        if not plain:
            self.below = list(holder.parameters())
            return
        self.layers = list(holder.transformer.resblocks)
        self.width = int(holder.positional_embedding.shape[-1])
        projection = holder.text_projection
        self.above = list(holder.ln_final.parameters())
        if projection is not None:
            self.above += list(projection.parameters()) if isinstance(projection, nn.Linear) else [projection]
        self.below = [*holder.token_embedding.parameters(), holder.positional_embedding]

    def counts(self, ids: Tensor) -> Tensor:
        """(n, t), True up to the token that is pooled where later ones cannot be seen from there, else everywhere."""
        if not (self.layers and self.causal and self.pool_type in ("argmax", "eos")):
            return torch.ones_like(ids, dtype=torch.bool)
        last = ids.argmax(dim=1) if self.pool_type == "argmax" else ids.eq(self.eos_id).int().argmax(dim=1)
        return torch.arange(ids.shape[1], device=ids.device)[None, :] <= last[:, None]

    def embed(self, ids: Tensor) -> Tensor:
        """(n, t) -> (n, t, width)."""
        states: Tensor = self.holder.token_embedding(ids) + self.holder.positional_embedding[: ids.shape[1]]
        return states

    def run(self, states: Tensor, start: int, stop: int) -> Tensor:
        length = states.shape[1]
        mask = self.holder.attn_mask[:length, :length] if self.causal else None
        flip = not self.holder.transformer.batch_first
        states = states.transpose(0, 1) if flip else states
        for layer in self.layers[start:stop]:
            states = layer(states, attn_mask=mask)
        return states.transpose(0, 1) if flip else states

    def finish(self, states: Tensor, ids: Tensor) -> Tensor:
        states = self.holder.ln_final(states)
        pooled: Tensor = text_global_pool(states, ids, self.pool_type, eos_token_id=self.eos_id)
        projection = self.holder.text_projection
        if projection is None:
            return pooled
        projected: Tensor = projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
        return projected


class OpenClipTrainee(nn.Module):
    """``image_layers`` and ``text_layers`` upper layers are trained, with the pooling and projection above them.

    Both towers stay in eval mode: batch norms keep their means, and drop-out inside them is off.
    """

    hides_states = False  # most of its poolings take no masks
    base: Path | None = None  # a model of open_clip has nothing beside its weights
    mean: Tensor
    std: Tensor

    def __init__(
        self, model: Any, tokenizer: Any, source: Source, image_layers: int = ALL, text_layers: int = ALL
    ) -> None:
        super().__init__()
        self.model, self.source, self.card_name = model, source, source.name
        self._open_clip_tokenizer = tokenizer
        converted, rules = convert(tokenizer)
        self._tokens = TextEncoder(converted, rules)
        ids = [converted.token_to_id(token) for token in ("[MASK]", "<mask>", "[UNK]", "<unk>")]
        self.mask_id = next((int(number) for number in ids if number is not None), rules.pad_id)
        self.preprocess = open_clip_encoder.preprocess_of(model, source.name)
        self.register_buffer("mean", torch.tensor(self.preprocess.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(self.preprocess.std).view(1, 3, 1, 1), persistent=False)
        self._vision, self._language = _Vision(model.visual), _Language(model)
        self._image_start = _start(self._vision.layers, image_layers, "image_layers", source.name)
        self._text_start = _start(self._language.layers, text_layers, "text_layers", source.name)
        # From -1 on, the embedding too is trained.
        self.freezes_images = self._image_start >= 0
        self.freezes_texts = self._text_start >= 0 and bool(self._language.layers)
        self.requires_grad_(False)
        with torch.no_grad():
            self.dim = int(model.encode_text(torch.zeros((1, rules.context), dtype=torch.int64)).shape[-1])
        self.image_width, self.text_width = self._vision.width or self.dim, self._language.width or self.dim
        self.log_scale: nn.Parameter = model.logit_scale
        bias = getattr(model, "logit_bias", None)
        self.trained_with_sigmoid = bias is not None
        self.bias: nn.Parameter = bias if bias is not None else nn.Parameter(torch.tensor(-10.0))
        for group in self.groups():
            for parameter in group.parameters:
                parameter.requires_grad_(True)
        self.log_scale.requires_grad_(True)
        self.bias.requires_grad_(True)
        self.eval()

    @classmethod
    def load(
        cls, name: str, image_layers: int = ALL, text_layers: int = ALL, trust_pickle: bool = False
    ) -> OpenClipTrainee:
        """The model of that name, as ``registry.find`` takes it.

        With ``trust_pickle`` weights that are pickles are read, too.  Raises ModelError and ConfigError."""
        source = registry.find(name)
        model, tokenizer = open_clip_encoder.load_model(source, trust_pickle)
        return cls(model, tokenizer, source, image_layers, text_layers)

    @property
    def module(self) -> nn.Module:
        return self

    def train(self, mode: bool = True) -> OpenClipTrainee:
        super().train(False)
        return self

    def image_prefix(self, pixels: Tensor) -> Tensor:
        if not self.freezes_images:
            return pixels
        if not self._vision.layers:
            vectors: Tensor = self.model.visual(self._normalized(pixels))
            return vectors[:, None]
        return self._vision.run(self._vision.embed(self._normalized(pixels)), 0, self._image_start)

    def image_states(self, prefix: Tensor) -> Tensor:
        """The states after the last layer; of a tower that cannot be cut its vector, as the only state."""
        if self.freezes_images:
            return self._vision.run(prefix.float(), self._image_start, len(self._vision.layers))
        if not self._vision.layers:
            vectors: Tensor = self.model.visual(self._normalized(prefix))
            return vectors[:, None]
        return self._vision.run(self._vision.embed(self._normalized(prefix)), 0, len(self._vision.layers))

    def image_pool(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        pooled = self._vision.finish(states) if self._vision.layers else states[:, 0]
        return F.normalize(pooled.float(), dim=-1)

    def _normalized(self, pixels: Tensor) -> Tensor:
        return (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(self._tokens(texts))

    def token_mask(self, ids: Tensor) -> Tensor:
        return self._language.counts(ids)

    def text_prefix(self, ids: Tensor, mask: Tensor) -> Tensor:
        if not self.freezes_texts:
            return ids
        return self._language.run(self._language.embed(ids), 0, self._text_start)

    def text_states(self, prefix: Tensor, mask: Tensor) -> Tensor:
        language = self._language
        if self.freezes_texts:
            return language.run(prefix.float(), self._text_start, len(language.layers))
        if language.layers:
            return language.run(language.embed(prefix), 0, len(language.layers))
        vectors: Tensor = self.model.encode_text(prefix)
        return vectors[:, None]

    def text_pool(self, states: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
        pooled = self._language.finish(states, ids) if self._language.layers else states[:, 0]
        return F.normalize(pooled.float(), dim=-1)

    def word_table(self) -> Tensor:
        if not self._language.layers:
            raise ConfigError(f"{self.card_name} cannot guess masked words: its text tower is another library's")
        table: Tensor = self._language.holder.token_embedding.weight
        return table

    def groups(self) -> list[Group]:
        found = []
        above = [*self._vision.above, *self._language.above]
        if above:
            found.append(Group("pool", 0, above))
        for name, tower, start in (
            ("image", self._vision, self._image_start),
            ("text", self._language, self._text_start),
        ):
            layers = tower.layers[max(start, 0) :]
            found += [Group(name, depth, list(layer.parameters())) for depth, layer in enumerate(layers[::-1])]
            if start < 0 and tower.below:
                found.append(Group(name, len(layers), list(tower.below)))
        return found

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """As open_clip saves a model: its description, weights and, where it has one of its own, tokenizer."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        described = json.loads(json.dumps(registry.description(self.source)))
        if self.source.pretrained is not None and self.source.pretrained.quick_gelu:
            described["quick_gelu"] = True
        for part, key in (("vision_cfg", "timm_model_pretrained"), ("text_cfg", "hf_model_pretrained")):
            if key in described.get(part, {}):
                described[part][key] = False
        weights = {name: value.detach().cpu().contiguous().clone() for name, value in self.model.state_dict().items()}
        atomic_write(folder / "open_clip_model.safetensors", save(weights))
        inner: Any = getattr(self._open_clip_tokenizer, "tokenizer", None)
        if hasattr(inner, "save_pretrained"):
            inner.save_pretrained(str(folder))
        pictures = dict(self.model.visual.preprocess_cfg)
        config = json.dumps({"model_cfg": described, "preprocess_cfg": pictures}, indent=2)
        atomic_write(folder / "open_clip_config.json", config.encode())
        atomic_write(folder / "recipe.json", (json.dumps(facts, indent=2) + "\n").encode())


def _start(layers: list[nn.Module], wanted: int, option: str, name: str) -> int:
    """The first layer that is trained; -1 where the embedding below is trained too."""
    if not layers:
        if wanted in (0, ALL):
            return 0 if wanted == 0 else -1
        raise ConfigError(f"the layers of {name} cannot be told apart: {option} must be 0 or -1 (all), not {wanted}")
    return -1 if wanted == ALL or wanted > len(layers) else len(layers) - wanted
