"""All choices of a training run; saved as JSON beside what it made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mmsearch.errors import ConfigError

ALL = -1  # of ``image_layers`` and ``text_layers``: the whole tower


@dataclass(frozen=True)
class Recipe:
    """The defaults fine-tune the embedded model on hundreds to thousands of captioned photos on a CPU."""

    epochs: int = 5  # each shows every caption once
    batch: int = 256  # photos a step, over all processes; their captions are each other's wrong answers
    micro_batch: int = 0  # photos in memory at once; 0 is the whole batch.  Same loss and gradient, twice the encoding
    captions_per_photo: int = 1  # captions of each photo in a step, which share one encoding of the photo
    # What is trained, and how fast
    image_layers: int = 0  # upper layers (stages) of the image tower that are trained; -1 is all of it
    text_layers: int = 2  # upper layers of the text tower that are trained; -1 is all of it
    lr: float = 3e-4  # peak learning rate of what pools the states and projects them
    image_lr: float = 3e-5  # of the topmost layer of the image tower
    text_lr: float = 3e-5  # of the topmost layer of the text tower
    layer_decay: float = 0.8  # each layer further down learns at this share of the rate of the one above
    weight_decay: float = 0.05  # of matrices; norms and biases have none
    warmup: float = 0.1  # share of the steps in which the rates rise; then they fall as a cosine
    clip: float = 1.0  # the gradient is scaled down to this norm
    ema: float = 0.998  # decay a step of the moving average of the weights, which is what is kept; 0 for none
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # bf16 or fp16 on a GPU, fp32 on a CPU
    # Weights of the objectives; 0 leaves one out
    infonce: float = 1.0  # softmax over the batch, as CLIP
    sigmoid: float = 0.0  # each pair by itself, as SigLIP
    hard: float = 0.0  # softmax over the hardest wrong answers of the batch
    hard_count: int = 8  # how many of them
    masked_words: float = 0.0  # guess hidden words from the photo and the other words
    masked_share: float = 0.15  # of the words are hidden for that
    text_text: float = 0.0  # two captions of one photo find each other; wants captions_per_photo >= 2
    mined: float = 0.0  # share of each epoch's batches made of photos that the model confuses
    mined_group: int = 8  # near photos that come together there
    smoothing: float = 0.1  # label smoothing of the softmax objectives
    # Against learning by heart
    augment: bool = True  # crops, mirror images and other light
    views: int = 8  # augmented views of each photo kept behind the frozen layers; 0: new ones each time, computed anew
    feature_dropout: float = 0.2  # share of channels of the image states and the text states set to 0
    region_dropout: float = 0.2  # share of image states hidden from the pooling
    word_dropout: float = 0.1  # share of words hidden from the trained text layers
    patience: int = 3  # epochs without a better R@1 on dev before it stops; 0 never stops
    seed: int = 0

    def check(self) -> None:
        """Raises ConfigError for values that make no sense."""
        for name in ("epochs", "batch", "captions_per_photo", "mined_group", "hard_count"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("micro_batch", "views", "patience", "lr", "image_lr", "text_lr", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, not {getattr(self, name)}")
        for name in ("ema", "smoothing", "feature_dropout", "region_dropout", "word_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")
        for name in ("warmup", "mined", "masked_share", "layer_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if self.image_layers < ALL or self.text_layers < ALL:
            raise ConfigError("image_layers and text_layers count layers; -1 is all of them")
        if not self.clip > 0:
            raise ConfigError(f"clip must be above 0, not {self.clip}")
        weights = (self.infonce, self.sigmoid, self.hard, self.masked_words, self.text_text)
        if min(weights) < 0 or self.infonce + self.sigmoid + self.hard <= 0:
            raise ConfigError("one of infonce, sigmoid and hard must be above 0, and no objective below")
        if self.text_text and self.captions_per_photo < 2:
            raise ConfigError("text_text compares two captions of a photo: set captions_per_photo to 2 or more")
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise ConfigError(f"precision must be auto, fp32, bf16 or fp16, not {self.precision!r}")


# An open_clip model: everything is trained, gently; its pooling takes no masks.
OPEN_CLIP = replace(
    Recipe(), image_layers=ALL, text_layers=ALL, lr=1e-5, image_lr=1e-5, text_lr=1e-5, batch=128, micro_batch=16,
    smoothing=0.0, feature_dropout=0.0, region_dropout=0.0, word_dropout=0.0,
)  # fmt: skip
