"""What the frozen parts of the towers say about each photo and caption, computed once and kept on disk.

Training on stored features costs minutes on two cores where running the towers each epoch would cost hours.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from mmsearch.encoders.embedded import EmbeddedConfig, ImageTower, TextTower

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Captions:
    """Captioned photos: file names, and for each the list of its captions."""

    names: list[str]
    texts: list[list[str]]


def read_captions(captions: Path, names: Path) -> Captions:
    """The captions of the photos listed in ``names`` (one file name a line), in that order.

    ``captions`` holds ``file name<TAB>caption`` lines, UTF-8, no header.
    """
    texts: dict[str, list[str]] = {name: [] for name in names.read_text("utf-8").split("\n") if name}
    for line in captions.read_text("utf-8").splitlines():
        name, _, text = line.partition("\t")
        if name in texts:
            texts[name].append(text)
    kept = {name: found for name, found in texts.items() if found}
    return Captions(list(kept), list(kept.values()))


def load_pixels(path: Path, size: int) -> NDArray[np.uint8]:
    """The photo squashed to a square, (size, size, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


@torch.inference_mode()
def image_grids(
    tower: ImageTower, config: EmbeddedConfig, folder: Path, names: Sequence[str], flips: bool, file: Path
) -> NDArray[np.float16]:
    """The backbone's grid of each photo, (n, views, 49, width) float16; view 1 is the mirror image.

    Kept in ``file`` and read back, memory-mapped, when that is complete already.
    """
    if file.exists():
        return _mapped(file)
    views = 2 if flips else 1
    partial = file.with_suffix(".partial")
    cells = (config.image_size // 32) ** 2
    shape = (len(names), views, cells, config.image_width)
    grids = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
    tower.eval()
    for start in range(0, len(names), 16):
        chunk = [load_pixels(folder / name, config.image_size) for name in names[start : start + 16]]
        pixels = torch.from_numpy(np.stack(chunk)).permute(0, 3, 1, 2).float() / 255
        for view in range(views):
            seen = pixels.flip(-1) if view else pixels
            grids[start : start + len(chunk), view] = tower.grid(seen).half().numpy()
        if start % 800 == 0:
            log.info("grids: %d of %d photos", start, len(names))
    grids.flush()
    partial.rename(file)
    return _mapped(file)


def _mapped(file: Path) -> NDArray[np.float16]:
    array: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return array


@dataclass(frozen=True)
class TokenStates:
    """Token states of many texts, packed without padding: text i has rows ``starts[i]`` to ``starts[i + 1]``."""

    states: NDArray[np.float16]  # (tokens, width)
    starts: NDArray[np.int64]  # (texts + 1,)

    def batch(self, texts: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The states of some texts padded to the longest, (n, t, width) float32, and their mask (n, t)."""
        lengths = self.starts[texts + 1] - self.starts[texts]
        states = np.zeros((len(texts), int(lengths.max()), self.states.shape[1]), np.float32)
        for row, (text, length) in enumerate(zip(texts, lengths, strict=True)):
            start = self.starts[text]
            states[row, :length] = self.states[start : start + length]
        mask = np.arange(states.shape[1])[None, :] < lengths[:, None]
        return torch.from_numpy(states), torch.from_numpy(mask)


@torch.inference_mode()
def token_states(
    tower: TextTower, tokenizer: Tokenizer, texts: Sequence[str], layers: int, context: int
) -> TokenStates:
    """The states of each text after the first ``layers`` layers."""
    tower.eval()
    tokenizer.no_padding()
    tokenizer.enable_truncation(context)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
    states = np.empty((int(starts[-1]), tower.words.embedding_dim), np.float16)
    order = sorted(range(len(ids)), key=lambda text: len(ids[text]))  # little padding
    for first in range(0, len(order), 128):
        chunk = order[first : first + 128]
        longest = len(ids[chunk[-1]])
        padded = torch.tensor([ids[text] + [tower.pad_id] * (longest - len(ids[text])) for text in chunk])
        mask = padded != tower.pad_id
        out = tower.run(tower.embed(padded), mask, 0, layers).half().numpy()
        for row, text in enumerate(chunk):
            states[starts[text] : starts[text + 1]] = out[row, : len(ids[text])]
        if first % 6400 == 0:
            log.info("token states: %d of %d texts", first, len(order))
    return TokenStates(states, starts)
