"""The region tokens of one model folder in another, whose image tower is the same up to the pooling.

Then the other gives the very tokens that the first gives, and what was trained on them fits both.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmsearch.encoders.agreement import pictures
from mmsearch.encoders.export import region_graph
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.protocol import ModelCard
from mmsearch.errors import ModelError
from mmsearch.media.filesystem import atomic_write
from mmsearch.types import Regions

log = logging.getLogger(__name__)

CLOSE = 1e-3  # tokens that differ by less of their largest value count as the same: libraries store them in 8 bits


def carry_regions(base: Path, folder: Path) -> bool:
    """The map of ``base`` makes the region tokens of ``folder``; whether they are the very tokens of ``base``.

    Then the card in ``folder`` says so (``RegionCard.model``).  Where the image towers differ, the map is the same and
    the tokens are others; where ``base`` has none that fits, ``folder`` stays as it is.
    """
    shipped = ModelCard.read(base)
    if shipped.regions is None:
        return False
    try:
        region_graph.write(folder, region_graph.read(base))
    except ModelError as error:
        log.info("the region tokens of %s are others: %s", folder, error)
        return False
    if not _same(base, folder):
        return False
    card = ModelCard.read(folder)
    regions = replace(shipped.regions, model=shipped.regions.model or shipped.fingerprint)
    atomic_write(folder / "model.json", replace(card, regions=regions).to_json().encode())
    return True


def _same(base: Path, folder: Path) -> bool:
    """Whether both give the same tokens of a few pictures."""
    one, other = (_tokens(OnnxEncoder(each)) for each in (base, folder))
    return one.shape == other.shape and bool(np.abs(one - other).max() <= CLOSE * np.abs(one).max())


def _tokens(encoder: OnnxEncoder) -> Regions:
    _, tokens = encoder.encode_pictures(pictures(encoder.card.preprocess.size))
    assert tokens is not None
    return tokens
