"""Real parts for every test: photos on disk, the embedded model, the real command line."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import in_process
import kept_models
import pytest
import sharing
from forked_runs import ForkedRuns, forked_runs
from samples import CLI, five_photos, surroundings
from shared import made_once

from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library


def _by_groups(config: pytest.Config) -> bool:
    return bool(config.getoption("dist", "no") == "loadgroup")


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return sharing.scheduler(config, log) if _by_groups(config) else None


@pytest.hookimpl(tryfirst=True)  # after those of folders, and before xdist appends the groups to the names
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _by_groups(config) or config.getoption("loadgroup", False):
        sharing.order(items)


def pytest_collection_finish() -> None:
    """What is imported by now stays: to look through all of it for garbage takes half a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test asks a hub, and none touches the folders of whoever runs it."""
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    for name in [name for name in os.environ if name.startswith(("MMSEARCH_", "XDG_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("MMSEARCH_OFFLINE", "1")


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a command takes longer than ten seconds: what it says then is no part of other tests."""
    monkeypatch.setattr("mmsearch.cli.progress_bar.EVERY", 3600.0)


@pytest.fixture(autouse=True)
def models() -> Iterator[None]:
    """Graphs and tokenizers are loaded once; a module whose tests are about loading has its own, empty fixture."""
    with kept_models.kept():
        yield


@pytest.fixture(scope="session")
def encoder() -> OnnxEncoder:
    """The embedded model, loaded once."""
    return factory.embedded()


@pytest.fixture(scope="session")
def tag_cache(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Path:
    """A cache folder with the texts that tags are judged by, encoded with the embedded model."""
    from mmsearch.ingest.enrich.tags import cached, common_texts

    def make(folder: Path) -> None:
        folder.mkdir()
        cached(common_texts(), encoder.card.fingerprint, encoder.encode_texts, folder)

    return made_once(tmp_path_factory, "tag_cache", make)


@pytest.fixture(scope="session")
def mapped_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with thirty drawn pictures (``mapped.py``); no test changes it."""
    import mapped

    return made_once(tmp_path_factory, "mapped", mapped.photos)


@pytest.fixture(scope="session")
def mapped_library(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder, mapped_photos: Path) -> Path:
    """The folder of a library of them, to be copied."""
    import mapped

    return made_once(tmp_path_factory, "mapped library", partial(mapped.library, of=mapped_photos, encoder=encoder))


@pytest.fixture(scope="session")
def region_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that gives region tokens."""
    pytest.importorskip("torch", reason="the light way has none")
    from small_reranker import write_model

    return made_once(tmp_path_factory, "region_model", write_model)


@pytest.fixture(scope="session")
def region_encoder(region_model: Path) -> OnnxEncoder:
    return OnnxEncoder(region_model)


@pytest.fixture(scope="session")
def small_reranker(tmp_path_factory: pytest.TempPathFactory, region_encoder: OnnxEncoder) -> Path:
    """The folder of a small random reranker for ``region_encoder``."""
    from small_reranker import write_reranker

    return made_once(tmp_path_factory, "small_reranker", partial(write_reranker, card=region_encoder.card))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of the first stage alone: a test of the second one says which reranker."""
    own = Settings(library=tmp_path / "library", cache=tmp_path / "cache")
    return replace(own, batch=4, device="cpu", reranker="none")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos in two folders."""
    return five_photos(tmp_path / "photos")


@pytest.fixture
def library(settings: Settings, encoder: OnnxEncoder) -> Iterator[Library]:
    with open_library(settings.library, settings=settings, encoder=encoder) as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder that commands run in, with their home."""
    return tmp_path


@pytest.fixture
def mmsearch(place: Path) -> CLI:
    """The command line called in this process, with a home of its own: quick, and enough for what it prints and does.

    What only a process shows needs ``mmsearch_process``: what is imported, encodings, signals, crashes, start-up files.
    """

    def run(*arguments: str | Path, check: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        return checked(in_process.call([*map(str, arguments)], surroundings(place, environment), place), check)

    return run


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedRuns]:
    """Runs of the command line that each are a process of their own, and can be killed at a point: for many of them."""
    with forked_runs(surroundings(tmp_path_factory.mktemp("forked"), {})) as runs:
        yield runs


@pytest.fixture
def mmsearch_process(tmp_path: Path) -> CLI:
    """The command line in a process of its own, with the same home as ``mmsearch``."""

    def run(*arguments: str | Path, check: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "mmsearch.cli", *map(str, arguments)],
            env=surroundings(tmp_path, environment),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            timeout=120,
        )
        return checked(done, check)

    return run


def checked(done: subprocess.CompletedProcess[str], code: int | None) -> subprocess.CompletedProcess[str]:
    assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done
