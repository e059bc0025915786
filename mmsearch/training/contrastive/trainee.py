"""What the trainer asks of a model: two towers, each cut into a frozen lower and a trained upper part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from mmsearch.training.common.optimize import Group
from mmsearch.types import Preprocess


@dataclass(frozen=True)
class Texts:
    """Texts behind the frozen layers."""

    prefix: Tensor  # (n, t, width) token states, or (n, t) int64 ids where no layer is frozen
    mask: Tensor  # (n, t), True where a token counts
    ids: Tensor  # (n, t) int64

    def rows(self, start: int, stop: int) -> Texts:
        return Texts(self.prefix[start:stop], self.mask[start:stop], self.ids[start:stop])


class Trainee(Protocol):
    """A model that can be trained; each implementation is an ``nn.Module`` whose trained weights require gradients.

    The frozen parts run without gradient and always in eval mode, so what they give can be kept.
    """

    card_name: str  # as the user would give it to --model
    base: Path | None  # the model folder that it came from, with what that has beside its weights; None for none
    preprocess: Preprocess
    dim: int
    image_width: int  # of an image state
    text_width: int  # of a token state
    log_scale: nn.Parameter  # scalar: logarithm of the inverse temperature
    bias: nn.Parameter  # scalar, of the sigmoid loss
    freezes_images: bool  # whether ``image_prefix`` computes something
    freezes_texts: bool
    hides_states: bool  # whether ``image_pool`` and ``text_states`` honour their masks
    mask_id: int  # the token that stands for a hidden word

    @property
    def module(self) -> nn.Module:
        """The model itself."""
        ...

    def image_prefix(self, pixels: Tensor) -> Tensor:
        """(n, size, size, 3) uint8 -> what the trained part starts from, (n, ...)."""
        ...

    def image_states(self, prefix: Tensor) -> Tensor:
        """(n, ...) -> (n, s, image_width)."""
        ...

    def image_pool(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """States, and a mask (n, s) that is True where a state counts -> unit rows (n, dim)."""
        ...

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """n texts -> ids (n, t) int64, padded on the right."""
        ...

    def token_mask(self, ids: Tensor) -> Tensor:
        """(n, t), True where a token counts."""
        ...

    def text_prefix(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids (n, t) -> states after the frozen layers (n, t, width); the ids where none is frozen."""
        ...

    def text_states(self, prefix: Tensor, mask: Tensor) -> Tensor:
        """-> states after the last layer, (n, t, text_width)."""
        ...

    def text_pool(self, states: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
        """-> unit rows (n, dim)."""
        ...

    def word_table(self) -> Tensor:
        """The embedding of every token, (vocabulary, text_width)."""
        ...

    def groups(self) -> list[Group]:
        """All trained parameters but ``log_scale`` and ``bias``."""
        ...

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """The model, as ``--model local-dir:FOLDER`` takes it; ``facts`` goes into its ``recipe.json``."""
        ...
