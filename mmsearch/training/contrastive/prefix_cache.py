"""What the frozen layers say about photos and captions, computed once and drawn from in every step.

Photos are kept as several augmented views: with a few trained stages on top, a step then costs a third on a CPU.
Everything is float16 on disk; files appear complete or with a note of how far they got, so a killed run goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsearch.training.common.pairs import Pictures, Report
from mmsearch.training.contrastive.trainee import Texts, Trainee
from mmsearch.types import Pixels

PHOTOS, TEXTS = 16, 128  # encoded together


class ImageSource:
    """Prefixes of photos by their rows: drawn from stored views, or computed from pixels that are augmented anew."""

    def __init__(
        self, trainee: Trainee, pictures: Pictures, count: int, device: torch.device, seed: int,
        augment: bool, stored: NDArray[np.float16] | None,
    ) -> None:  # fmt: skip
        self._trainee, self._pictures, self._count, self._device = trainee, pictures, count, device
        self._seed, self._augment, self._stored = seed, augment, stored

    def __len__(self) -> int:
        return self._count

    def draw(self, rows: NDArray[np.int64], step: int, own: slice = slice(None)) -> Tensor:
        """A view of each photo of the batch ``rows``, of which this process gets its ``own``; always the same for a
        step."""
        if self._stored is not None:
            views = self._stored.shape[1]
            chosen = np.random.default_rng([self._seed, step, 1]).integers(0, views, len(rows))
            return torch.from_numpy(self._stored[rows[own], chosen[own]]).to(self._device)
        if self._augment:
            return self._encode(self._pictures.views(rows[own], self._seed, step))
        return self.plain(rows[own])

    def plain(self, rows: NDArray[np.int64]) -> Tensor:
        """The photos as they are."""
        if self._stored is not None:
            return torch.from_numpy(self._stored[rows, 0]).to(self._device)
        return self._encode(self._pictures.plain(rows))

    @torch.no_grad()
    def _encode(self, pixels: Pixels) -> Tensor:
        return self._trainee.image_prefix(torch.from_numpy(pixels).to(self._device))


class Prefix(Protocol):
    """What ``image_views`` asks of a model."""

    def image_prefix(self, pixels: Tensor) -> Tensor: ...


def image_views(
    trainee: Prefix, pictures: Pictures, count: int, views: int, file: Path, device: torch.device, seed: int,
    report: Report | None = None,
) -> NDArray[np.float16]:  # fmt: skip
    """``file`` with the prefixes of ``count`` photos, (count, views, ...); view 0 is the photo as it is.

    A complete file is taken as it is, an incomplete one is completed.
    """
    if not file.exists():
        partial, note = file.with_suffix(".partial.npy"), file.with_suffix(".rows")
        with torch.no_grad():
            example = trainee.image_prefix(torch.from_numpy(pictures.plain([0])).to(device))
        shape = (count, views, *example.shape[1:])
        done = int(note.read_text()) if note.exists() and partial.exists() else 0
        mode = "r+" if done else "w+"
        stored = np.lib.format.open_memmap(partial, mode, None if done else np.float16, None if done else shape)
        for start in range(done, count, PHOTOS):
            rows = np.arange(start, min(start + PHOTOS, count))
            for view in range(views):
                pixels = pictures.views(rows, seed, view) if view else pictures.plain(rows)
                with torch.no_grad():
                    found = trainee.image_prefix(torch.from_numpy(pixels).to(device))
                stored[rows, view] = found.half().cpu().numpy()
            if (start // PHOTOS) % 16 == 15:
                stored.flush()
                note.write_text(str(rows[-1] + 1))
            if report is not None:
                report(int(rows[-1]) + 1, count)
        stored.flush()
        del stored
        os.replace(partial, file)
        note.unlink(missing_ok=True)
    kept: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return kept


@dataclass(frozen=True)
class TokenStates:
    """Token states of many texts, packed without padding: text i has rows ``starts[i]`` to ``starts[i + 1]``."""

    states: NDArray[np.float16]  # (tokens, width)
    starts: NDArray[np.int64]  # (texts + 1,)

    def batch(self, texts: NDArray[np.int64]) -> Tensor:
        """The states of some texts padded to the longest, (n, t, width) float32."""
        lengths = self.starts[texts + 1] - self.starts[texts]
        states = np.zeros((len(texts), int(lengths.max()), self.states.shape[1]), np.float32)
        for row, (text, length) in enumerate(zip(texts, lengths, strict=True)):
            start = self.starts[text]
            states[row, :length] = self.states[start : start + length]
        return torch.from_numpy(states)


class TextSource:
    """Texts behind the frozen layers, by their rows; packed without padding."""

    def __init__(self, trainee: Trainee, ids: list[NDArray[np.int64]], states: TokenStates | None) -> None:
        self._trainee, self.ids, self._states = trainee, ids, states

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> Texts:
        """These texts, padded to the longest of them."""
        lengths = np.array([len(self.ids[row]) for row in rows])
        ids = np.zeros((len(rows), int(lengths.max())), np.int64)
        for place, row in enumerate(rows):
            ids[place, : lengths[place]] = self.ids[row]
        mask = torch.from_numpy(np.arange(ids.shape[1])[None, :] < lengths[:, None]).to(device)
        numbers = torch.from_numpy(ids).to(device)
        if self._states is None:
            return Texts(numbers, mask, numbers)
        return Texts(self._states.batch(rows).to(device), mask, numbers)


@torch.no_grad()
def text_source(
    trainee: Trainee, texts: Sequence[str], device: torch.device, report: Callable[[int, int], None] | None = None
) -> TextSource:
    """All ``texts`` tokenized, and run through the frozen layers where there are any."""
    ids: list[NDArray[np.int64]] = []
    for start in range(0, len(texts), 1024):
        numbers = trainee.tokenize(texts[start : start + 1024])
        lengths = trainee.token_mask(numbers).sum(dim=1).tolist()
        ids += [row[:length] for row, length in zip(numbers.numpy(), lengths, strict=True)]
    plain = TextSource(trainee, ids, None)
    if not trainee.freezes_texts:
        return plain
    starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
    states = np.empty((0, 0), np.float16)
    order = np.array(sorted(range(len(ids)), key=lambda text: len(ids[text])), np.int64)  # little padding
    for start in range(0, len(order), TEXTS):
        rows = order[start : start + TEXTS]
        given = plain.batch(rows, device)
        found = trainee.text_prefix(given.ids, given.mask).half().cpu().numpy()
        if not len(states):
            states = np.empty((int(starts[-1]), found.shape[2]), np.float16)
        for place, row in enumerate(rows):
            states[starts[row] : starts[row + 1]] = found[place, : len(ids[row])]
        if report is not None:
            report(start + len(rows), len(order))
    return TextSource(trainee, ids, TokenStates(states, starts))
