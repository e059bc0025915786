"""``mmsearch train`` as it is run: killed and resumed, interrupted, misused, and from start to search.

What takes a signal is a process; what else a command does is done in this one, the rest of a killed run too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from samples import CLI, interruptible
from small_models import write_open_clip
from typer.testing import CliRunner

from mmsearch.cli.advice import worded
from mmsearch.cli.app import app
from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.embedded_encoder import TorchEmbeddedEncoder
from mmsearch.errors import MMSearchError, ModelError
from mmsearch.library.opening import open_library

DATA = ("--captions", "pairs.tsv", "--images", "images")
MANY = ("--epochs", "8", "--batch", "2", "--dev", "0.25", "--lr", "1e-3", "--set", "patience=0")


def _command(out: Path, *options: str) -> list[str]:
    return ["train", "--out", str(out), "--device", "cpu", *DATA, "--from", "local-dir:clip", *MANY, *options]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the processes have: sums are made in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _start(folder: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "mmsearch.cli", *_command(out, *options)],
        cwd=folder, env={**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _wait_for_epoch(process: subprocess.Popen[str], out: Path, epoch: int) -> None:
    for _ in range(24000):
        if (out / "log.jsonl").exists() and f'"epoch": {epoch},' in (out / "log.jsonl").read_text():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(process.communicate())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
@pytest.mark.usefixtures("one_thread", "own_memory")
def test_killed_run_goes_on_to_the_same_weights(pairs_file: Path, mmsearch: CLI) -> None:
    folder = pairs_file.parent
    write_open_clip(folder / "clip")
    whole = mmsearch(*_command(folder / "whole"))
    output, errors = whole.stdout, whole.stderr
    assert re.search(r"^kept epoch \d+ of 8, 48 steps\n  text to image  R@1 [\d.]+ -> ", output)
    assert f"use it with: --model local-dir:{folder / 'whole'}" in output
    said = "the gain in R@1|no epoch found more on dev"
    assert re.search(said, output)
    assert re.search(said, (folder / "whole" / "MODEL_CARD.md").read_text("utf-8"), re.IGNORECASE)
    assert "training local-dir:" in errors

    killed = _start(folder, folder / "killed")
    _wait_for_epoch(killed, folder / "killed", 2)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "killed" / "MODEL_CARD.md").exists()
    refused = mmsearch("train", "--out", "killed", "--captions", "pairs.tsv", "--images", "images", check=1)
    assert refused.stderr == "mmsearch: killed holds a run already; go on with it: --resume, or choose another folder\n"
    mmsearch("train", "--out", "killed", "--resume", "--device", "cpu")
    for name in ("open_clip_model.safetensors", "recipe.json", "open_clip_config.json"):
        assert (folder / "killed" / name).read_bytes() == (folder / "whole" / name).read_bytes(), name
    assert (folder / "killed" / "training.png").read_bytes()[:4] == b"\x89PNG"
    again = mmsearch("train", "--out", "killed", "--captions", "pairs.tsv", "--images", "images", check=1)
    assert again.stderr == "mmsearch: killed holds a model that is trained already; choose another folder for --out\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT for one process")
def test_interrupted_run_says_how_to_go_on(pairs_file: Path) -> None:
    folder = pairs_file.parent
    write_open_clip(folder / "clip")
    with interruptible():
        process = _start(folder, folder / "out", "--epochs", "500")
    _wait_for_epoch(process, folder / "out", 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors.endswith(
        f"interrupted: the last checkpoint is kept; go on with: mmsearch train --resume --out {folder / 'out'}\n"
    )
    assert (folder / "out" / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "unless a run is resumed with --resume"),
        (("--resume", "--epochs", "3"), "leave out everything but --out"),
        ((*DATA, "--objective", "magic"), "must be one of infonce"),
        ((*DATA, "--set", "speed=9"), "wanted NAME=VALUE"),
        ((*DATA, "--set", "views=many"), "wanted a whole number"),
        ((*DATA, "--set", "augment=perhaps"), "augment is true or false"),
        ((*DATA, "--dev", "1.5"), "a share must be"),
        ((*DATA, "--epochs", "0"), "epochs must be at least 1"),
        ((*DATA, "--objective", "text_text"), "one of infonce, sigmoid and hard"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "out"), *arguments])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (DATA, "pairs.tsv, line 17: wanted 'file name<TAB>caption', got 'no tab here'"),
        (("--resume",), "out holds no run that could be resumed; start one without --resume"),
        ((*DATA[:2], "--images", "nowhere"), "nowhere: no such folder"),
        ((*DATA, "--from", "ViT-B-33"), "there is no model 'ViT-B-33'"),
    ],
)
def test_what_is_wrong_with_the_data_is_said(
    arguments: tuple[str, ...], message: str, pairs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pairs_file.parent)
    with pairs_file.open("a", encoding="utf-8") as file:
        file.write("no tab here\n")
    done = CliRunner().invoke(app, ["train", "--out", "out", *arguments])
    assert isinstance(done.exception, MMSearchError)  # main() makes it one line and exit code 1
    assert message in worded(done.exception)
    assert not Path("out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("own_memory")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_trained_folder_of_the_embedded_architecture_is_a_model(
    pairs_file: Path, mmsearch: CLI, settings: Settings
) -> None:
    folder = pairs_file.parent
    damaged = folder / "images" / "coins.png"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    done = mmsearch(
        "train", "--captions", "pairs.tsv", "--images", "images", "--dev", "0",
        "--out", "out", "--epochs", "2", "--set", "views=2", "--objective", "infonce", "--objective", "hard=0.5",
        "--json", "--device", "cpu",
    )  # fmt: skip
    facts = json.loads(done.stdout)
    assert (facts["photos"], facts["captions"], facts["skipped"]) == (7, 14, 1)
    assert (facts["gain"], facts["companions"]["relevance"]) == (None, "moved")
    for phase in ("Reading photos", "Frozen layers, photos", "step 1 of 2: epoch 1/2  loss", "Figures and files"):
        assert phase in done.stderr  # a run of seconds says what it does
    assert "1 of 8 photos could not be read; training goes on" in done.stderr

    out = folder / "out"
    choice = factory.choose(f"local-dir:{out}", factory.LoadOptions("cpu", folder / "cache"))
    assert choice.note == f"using local-dir:{out}"
    assert isinstance(choice.encoder, OnnxEncoder)
    card = choice.encoder.card
    assert (card.name, card.dim) == (f"local-dir:{out}", 512)
    base = OnnxEncoder(EMBEDDED).card
    assert base.regions is not None
    # Its image tower was not trained: it gives the very tokens of the base model.  Torch gives the same, below.
    assert card.regions == replace(base.regions, model=base.fingerprint)
    assert agreement(choice.encoder, TorchEmbeddedEncoder(out, "cpu")) > 0.999
    again = factory.for_card(card.name, card.fingerprint, factory.LoadOptions("cpu", folder / "cache"))
    assert again.card == card
    with pytest.raises(ModelError, match=r"its weights or settings have changed \(0123 then"):
        factory.for_card(card.name, "0123", factory.LoadOptions("cpu", folder / "cache"))
    moved = shutil.move(out, folder / "moved")
    assert factory.choose(f"local-dir:{moved}", factory.LoadOptions("cpu", folder / "cache")).encoder.card.name == (
        f"local-dir:{moved}"
    )
    found = factory.choose("auto", factory.LoadOptions("cpu", folder / "cache", (f"local-dir:{moved}", "")))
    assert found.note == f"using local-dir:{moved}, the first choice on a CPU"

    with open_library(folder / "library", settings=settings) as library:
        assert library.index([str(folder / "images")], model=f"local-dir:{moved}").added == 7
        assert library.status().model == f"local-dir:{moved}"
        hits = library.search("a cat", k=3)
        assert len(hits) == 3
        assert all(hit.relevance is not None for hit in hits)
