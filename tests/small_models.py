"""Captions of the tests' photos, and a small model of the embedded architecture with random weights."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mmsearch.encoders.embedded import EmbeddedConfig, ImageTower, TextTower, fold_batch_norms
from mmsearch.training.embedded_trainee import EmbeddedTrainee

CAPTIONS = {
    "astronaut.png": "a woman in an orange space suit",
    "camera.png": "a man with a camera on a tripod",
    "chelsea.png": "a cat looks at the camera",
    "coffee.png": "a cup of coffee on a wooden table",
    "grass.png": "a lawn from above",
    "motorcycle_left.png": "a red motorcycle in a garage",
    "rocket.jpg": "a rocket takes off",
    "coins.png": "old coins on a dark cloth",
}
WORDS = sorted({word for caption in CAPTIONS.values() for word in f"this is {caption}".split()})
CONFIG = EmbeddedConfig(
    dim=32,
    image_size=64,
    vocabulary=len(WORDS) + 5,
    context=16,
    text_width=24,
    text_heads=2,
    text_layers=3,
    pool_heads=4,
)


def word_tokenizer() -> Tokenizer:
    """Whole words, BERT's special tokens."""
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def small_trainee(image_layers: int = 0, text_layers: int = 1, seed: int = 0) -> EmbeddedTrainee:
    """The embedded architecture at 64 pixels with narrow towers; the same weights for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        images, texts = ImageTower(CONFIG), TextTower(CONFIG)
        fold_batch_norms(images)
        return EmbeddedTrainee(images, texts, CONFIG, word_tokenizer(), image_layers, text_layers)
