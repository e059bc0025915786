"""Captioned photos on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from samples import SAMPLES
from small_models import CAPTIONS

from mmsearch.training.common.pairs import Pairs, read


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    """``pairs.tsv`` beside ``images/``: eight photos with two captions each."""
    (tmp_path / "images").mkdir()
    for name in CAPTIONS:
        shutil.copy(SAMPLES / name, tmp_path / "images")
    lines = [f"{name}\t{caption}\n{name}\tthis is {caption}\n" for name, caption in CAPTIONS.items()]
    (tmp_path / "pairs.tsv").write_text("".join(lines), "utf-8")
    return tmp_path / "pairs.tsv"


@pytest.fixture
def pairs(pairs_file: Path) -> Pairs:
    return read(pairs_file, pairs_file.parent / "images")
