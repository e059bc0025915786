"""``mmsearch train`` as it is run: killed and resumed, interrupted, misused, and from start to search."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from samples import CLI
from small_models import CONFIG, small_trainee, word_tokenizer, write_open_clip

from mmsearch.encoders import model_folder, resolve
from mmsearch.encoders.agreement import agreement
from mmsearch.encoders.onnx_encoder import OnnxEncoder
from mmsearch.encoders.torch_embedded import TorchEmbeddedEncoder
from mmsearch.errors import ModelError

DEFAULTS = ("embedded", "embedded")
MANY = ("--epochs", "30", "--batch", "2", "--dev", "0.25", "--lr", "1e-3", "--set", "patience=0")


def _start(folder: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    given = ["--captions", "pairs.tsv", "--images", "images", "--from", "local-dir:clip", *MANY, *options]
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "mmsearch.cli", "train", "--out", str(out), "--device", "cpu", *given],
        cwd=folder, env={**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _wait_for_epoch(process: subprocess.Popen[str], out: Path, epoch: int) -> None:
    for _ in range(6000):
        if (out / "log.jsonl").exists() and f'"epoch": {epoch},' in (out / "log.jsonl").read_text():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(process.communicate())


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_killed_run_goes_on_to_the_same_weights(pairs_file: Path, mmsearch: CLI) -> None:
    folder = pairs_file.parent
    write_open_clip(folder / "clip")
    whole = _start(folder, folder / "whole")
    output, errors = whole.communicate(timeout=100)
    assert whole.returncode == 0, errors
    assert re.search(r"^kept epoch \d+ of 30, 180 steps\n  text to image  R@1 [\d.]+ -> ", output)
    assert f"use it with: --model local-dir:{folder / 'whole'}" in output
    assert "training local-dir:" in errors

    killed = _start(folder, folder / "killed")
    _wait_for_epoch(killed, folder / "killed", 4)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "killed" / "MODEL_CARD.md").exists()
    refused = mmsearch("train", "--out", "killed", "--captions", "pairs.tsv", "--images", "images", check=1)
    assert refused.stderr == "mmsearch: killed holds a run already; go on with it: --resume, or choose another folder\n"
    mmsearch("train", "--out", "killed", "--resume", "--device", "cpu", OMP_NUM_THREADS="1")
    for name in ("open_clip_model.safetensors", "recipe.json", "open_clip_config.json"):
        assert (folder / "killed" / name).read_bytes() == (folder / "whole" / name).read_bytes(), name
    assert (folder / "killed" / "training.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT for one process")
def test_interrupted_run_says_how_to_go_on(pairs_file: Path) -> None:
    folder = pairs_file.parent
    write_open_clip(folder / "clip")
    process = _start(folder, folder / "out", "--epochs", "500")
    _wait_for_epoch(process, folder / "out", 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith(
        f"interrupted: the last checkpoint is kept; go on with: mmsearch train --resume --out {folder / 'out'}\n"
    )
    assert (folder / "out" / "run" / "checkpoint.pt").exists()


def test_wrong_usage(pairs_file: Path, mmsearch: CLI) -> None:
    data = ("--captions", "pairs.tsv", "--images", "images")
    for arguments, message in (
        (("--out", "out"), "unless a run is resumed with --resume"),
        (("--out", "out", "--resume", "--epochs", "3"), "leave out everything but --out"),
        (("--out", "out", *data, "--objective", "magic"), "must be one of infonce"),
        (("--out", "out", *data, "--set", "speed=9"), "wanted NAME=VALUE"),
        (("--out", "out", *data, "--set", "views=many"), "wanted a whole number"),
        (("--out", "out", *data, "--dev", "1.5"), "a share must be"),
        (("--out", "out", *data, "--epochs", "0"), "epochs must be at least 1"),
    ):
        errors = " ".join(mmsearch("train", *arguments, check=2).stderr.replace("│", " ").split())
        assert message in errors
    (pairs_file.parent / "bad.tsv").write_text("chelsea.png\ta cat\nno tab here\n", "utf-8")
    failed = mmsearch("train", "--out", "out", "--captions", "bad.tsv", "--images", "images", check=1)
    assert failed.stderr == (
        f"mmsearch: {pairs_file.parent / 'bad.tsv'}, line 2: wanted 'file name<TAB>caption', got 'no tab here'\n"
    )
    assert mmsearch("train", "--out", "out", "--resume", check=1).stderr == (
        "mmsearch: out holds no run that could be resumed; start one without --resume\n"
    )
    assert not (pairs_file.parent / "out").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_trained_folder_of_the_embedded_architecture_is_a_model(pairs_file: Path, mmsearch: CLI) -> None:
    folder = pairs_file.parent
    trainee = small_trainee()
    base = folder / "base"
    model_folder.write(base, trainee.images, trainee.texts, CONFIG, word_tokenizer(), "embedded", {})
    damaged = folder / "images" / "coins.png"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    done = mmsearch(
        "train", "--captions", "pairs.tsv", "--images", "images", "--from", "local-dir:base", "--dev", "pairs.tsv",
        "--out", "none", check=1,
    )  # fmt: skip
    assert "no pairs are left" in done.stderr
    (folder / "dev.tsv").write_text("chelsea.png\ta cat\nrocket.jpg\ta rocket\n", "utf-8")
    done = mmsearch(
        "train", "--captions", "pairs.tsv", "--images", "images", "--from", "local-dir:base", "--dev", "dev.tsv",
        "--out", "out", "--epochs", "2", "--set", "views=2", "--objective", "infonce", "--objective", "hard=0.5",
        "--json", "--device", "cpu", OMP_NUM_THREADS="1",
    )  # fmt: skip
    facts = json.loads(done.stdout)
    assert (facts["photos"], facts["captions"], facts["skipped"]) == (5, 10, 1)
    assert "1 of 6 photos could not be read; training goes on" in done.stderr
    assert "2 photos of --dev left out of training" in done.stderr

    out = folder / "out"
    choice = resolve.choose(f"local-dir:{out}", "cpu", folder / "cache", DEFAULTS)
    assert choice.note == f"using local-dir:{out}"
    assert isinstance(choice.encoder, OnnxEncoder)
    card = choice.encoder.card
    assert (card.name, card.dim) == (f"local-dir:{out}", 128)
    assert agreement(choice.encoder, TorchEmbeddedEncoder(out, "cpu")) > 0.999
    again = resolve.for_card(card.name, card.fingerprint, "cpu", folder / "cache")
    assert again.card == card
    with pytest.raises(ModelError, match=r"its weights or settings have changed \(0123 then"):
        resolve.for_card(card.name, "0123", "cpu", folder / "cache")
    moved = shutil.move(out, folder / "moved")
    assert resolve.choose(f"local-dir:{moved}", "cpu", folder / "cache", DEFAULTS).encoder.card.name == (
        f"local-dir:{moved}"
    )
    found = resolve.choose("auto", "cpu", folder / "cache", (f"local-dir:{moved}", ""))
    assert found.note == f"using local-dir:{moved}, the first choice on a CPU"

    mmsearch("index", "images", "--library", "library", "--model", f"local-dir:{moved}")
    hits = mmsearch("query", "--library", "library", "a cat", "--json").stdout.splitlines()
    assert len(hits) == 7
    status = mmsearch("status", "--library", "library", "--json").stdout
    assert f"local-dir:{moved}" in status
