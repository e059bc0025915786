"""Captioned photos on disk, and graphs that are traced once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import kept_graphs
import pytest
from samples import SAMPLES
from shared import made_once
from small_models import CAPTIONS

from mmsearch.training.common.pairs import Pairs, read


@pytest.fixture(scope="module", autouse=True)
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A module of one shape is traced once for all tests of training; the folder that graphs are in."""
    folder = made_once(tmp_path_factory, "graphs", Path.mkdir)
    with kept_graphs.kept(folder):
        yield folder


@pytest.fixture
def own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process leave its memory as it is; ``test_memory.py`` is about that."""
    monkeypatch.setattr("mmsearch.training.common.memory.keep_freed", bool)


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
