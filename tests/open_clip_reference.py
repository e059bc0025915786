"""What open_clip's own functions say of pictures and texts."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from PIL import Image

from mmsearch.types import Vectors


def reference(folder: Path, images: list[Image.Image], texts: list[str]) -> tuple[Vectors, Vectors]:
    """The vectors of open_clip's own functions."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.inference_mode():
        pixels = torch.stack([preprocess(image) for image in images])
        image_rows = model.encode_image(pixels, normalize=True)
        text_rows = model.encode_text(tokenizer(texts), normalize=True)
    return image_rows.numpy(), text_rows.numpy()


def cosines(one: Vectors, other: Vectors) -> float:
    return float((one * other).sum(axis=1).min())
