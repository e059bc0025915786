"""A fixed bank of texts that nobody asked for: how near a picture is to them is its background (``background.py``).

A model folder may bring the bank's vectors as ``background.npy``, float16 (m, dim): those of the embedded model are 512
centroids of the captions it was trained with (``mmsearch/training/calibrate.py``).  For other models the captions of
``bank.tsv`` are encoded once.  Text to image R@1 on Flickr8k dev with the embedded model: 28.1 without, 29.0 with the
captions of ``bank.tsv``, 30.0 with the centroids.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import numpy as np

from mmsearch.encoders.onnx_encoder import OnnxEncoder
from mmsearch.encoders.protocol import Encoder
from mmsearch.records import Vectors

VERSION = "1"  # part of an index's name: another one whenever a bank changes; a test knows the files of each version
FILE = "background.npy"  # in a model folder
NEAREST = 10  # texts of the bank that make a picture's background
AT_ONCE = 64  # texts encoded together
# What is done in a photo, and how many of those who do it are taken for each.
GROUPS = (("people", "does", 3), ("dogs", "runs", 2), ("animals", "lives", 2), ("vehicles", "stands", 2))


def texts() -> list[str]:
    """The captions of ``bank.tsv``: each line of ``views``, and what is done with some of those who do it."""
    lists: dict[str, list[str]] = {}
    for line in (resources.files("mmsearch") / "bank.tsv").read_text("utf-8").splitlines():
        group, text = line.split("\t")
        lists.setdefault(group, []).append(text)
    found = list(lists["views"])
    for who, what, each in GROUPS:
        several = lists[who]
        for place, action in enumerate(lists[what]):
            chosen = [several[(5 * place + turn * (len(several) // each)) % len(several)] for turn in range(each)]
            found += [f"{subject} {action}" for subject in chosen]
    return list(dict.fromkeys(found))


def vectors(encoder: Encoder) -> Vectors:
    """The bank in the space of an encoder, (m, dim) float32, unit rows.  Encoding it takes seconds."""
    if isinstance(encoder, OnnxEncoder) and (encoder.folder / FILE).is_file():
        return load(encoder.folder / FILE)
    wanted = texts()
    rows = [encoder.encode_texts(wanted[start : start + AT_ONCE]) for start in range(0, len(wanted), AT_ONCE)]
    return np.concatenate(rows)


def load(file: Path) -> Vectors:
    """A stored bank, rows scaled to length 1."""
    rows = np.load(file).astype(np.float32)
    found: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return found


def save(file: Path, rows: Vectors) -> None:
    """Write a bank for ``load``, whole or not at all."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as opened:
            np.save(opened, rows.astype(np.float16))
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
