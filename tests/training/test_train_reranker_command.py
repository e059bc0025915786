"""``mmsearch train-reranker`` as it is run: from start to a reranked search, interrupted, killed, misused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawn import draw, write_captions
from samples import CLI, interruptible, model_without_regions
from typer.testing import CliRunner

from mmsearch.cli.advice import worded
from mmsearch.cli.app import app
from mmsearch.cli.train_progress import line
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import MMSearchError
from mmsearch.rerank.card import RerankCard, region_key
from mmsearch.training.common.progress import TrainProgress

DATA = ("--captions", "pairs.tsv", "--images", "images")
SMALL = (
    "--set", "width=32", "--set", "blocks=1", "--set", "views=2", "--set", "batch=8", "--set", "group=4",
    "--set", "groups=2", "--set", "questions=4", "--set", "captions=4", "--set", "masked=4", "--set", "dev_queries=6",
    "--set", "answers=14", "--set", "caption_words=12", "--fusion", "tensor",  # so that graphs have one shape
    "--device", "cpu",
)  # fmt: skip


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """``pairs.tsv`` and ``images/``, ``asked/qa.tsv`` and ``asked/images/``; a photo of each is damaged."""
    draw(tmp_path / "images")
    write_captions(tmp_path / "pairs.tsv")
    (tmp_path / "images" / "red_ball.png").write_bytes(b"no picture")
    (tmp_path / "asked" / "images").mkdir(parents=True)
    rows = []
    for number, name in enumerate(sorted(os.listdir(tmp_path / "images"))[:6]):
        shutil.copy(tmp_path / "images" / name, tmp_path / "asked" / "images" / f"{number}.png")
        rows.append(f"{number}.png\twhat color is the thing?\t{name.split('_')[0]}\n")
    (tmp_path / "asked" / "images" / "0.png").write_bytes(b"no picture")
    (tmp_path / "asked" / "qa.tsv").write_text("".join(rows), "utf-8")
    return tmp_path


def _start(folder: Path, out: str, *options: str) -> subprocess.Popen[str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MMSEARCH_", "XDG_", "HF_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "mmsearch.cli", "train-reranker", "--out", out, *DATA, *SMALL, *options],
        cwd=folder, env={**kept, "HOME": str(home), "MMSEARCH_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _wait_for_step(process: subprocess.Popen[str], out: Path, step: int) -> None:
    """Until the checkpoint after a look at dev is written."""
    for _ in range(12000):
        if (out / "run" / "checkpoint.pt").exists() and f'"step": {step},' in (out / "log.jsonl").read_text("utf-8"):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError(process.communicate())


@pytest.mark.usefixtures("own_memory")
def test_trained_folder_reranks_a_search(drawn: Path, mmsearch: CLI) -> None:
    done = mmsearch(
        "train-reranker", "--out", "mine", *DATA, "--questions", "asked", "--dev", "0.2", *SMALL, "--steps", "3",
        "--json",
    )  # fmt: skip
    facts = json.loads(done.stdout)
    assert (facts["folder"], facts["step"], facts["steps"]) == ("mine", 3, 3)
    assert set(facts["dev"]) == {"rule", "rules", "changed", "answers", "yes", "candidates", "queries"}
    assert {"given", "given_baseline"} <= set(facts["dev"]["answers"])
    assert "training a reranker for embedded on 19 photos with 38 captions; 5 dev photos" in done.stderr
    for damaged in ("images/red_ball.png", "asked/images/0.png"):
        assert f"skipped {drawn / damaged}: not a picture that can be read" in done.stderr
    out = drawn / "mine"
    assert sorted(os.listdir(out)) == [
        "caption.onnx", "log.jsonl", "match.onnx", "reranker.json", "run", "words.onnx",
    ]  # fmt: skip
    assert os.listdir(out / "run") == ["run.json"]
    card = RerankCard.read(out)
    assert card == RerankCard.of(
        out, name=f"local-dir:{out}", regions=region_key(OnnxEncoder(EMBEDDED).card), side=7, region_dim=80,
        rule=facts["dev"]["rule"]["rule"], weight=facts["dev"]["rule"]["weight"], helps=facts["dev"]["rule"]["helps"],
        answers=card.answers, caption_words=card.caption_words, recipe=card.recipe,
        yes=tuple(facts["dev"]["yes"]["fit"]),
    )  # fmt: skip
    assert card.recipe["recipe"]["fusion"] == "tensor"
    assert card.recipe["dev"] == facts["dev"]

    refused = mmsearch("train-reranker", "--out", "mine", "--resume", check=1)
    assert refused.stderr == "mmsearch: the run in mine is finished; there is nothing to resume\n"
    refused = mmsearch("train-reranker", "--out", "mine", *DATA, check=1)
    assert refused.stderr == "mmsearch: mine holds a model that is trained already; choose another folder for --out\n"

    (drawn / "images" / "red_ball.png").unlink()
    own = {"MMSEARCH_RERANKER": str(out), "MMSEARCH_LIBRARY": str(drawn / "library")}
    mmsearch("index", "images", "--model", "embedded", **own)
    asked = ("query", "a blue kite that flies high in the sky", "--json", "-k", "23")
    plain = [json.loads(text) for text in mmsearch(*asked, "--no-rerank", "--arithmetic", **own).stdout.splitlines()]
    hits = [json.loads(text) for text in mmsearch(*asked, "--rerank", **own).stdout.splitlines()]
    assert sorted(hit["path"] for hit in hits) == sorted(hit["path"] for hit in plain)
    first = {hit["path"]: hit["score"] for hit in plain}  # cosines, without backgrounds and words
    for hit in hits:
        assert hit["first_stage"] == pytest.approx(first[hit["path"]], abs=1e-5)
    assert all("first_stage" not in hit for hit in plain)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


@pytest.mark.slow
@pytest.mark.usefixtures("own_memory")
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT for one process, and no SIGKILL")
def test_interrupted_and_killed_run_goes_on_to_the_end(drawn: Path, mmsearch: CLI) -> None:
    """In processes until the last one: signals end them."""
    long = ("--steps", "8", "--set", "dev_every=2", "--dev", "3.tsv")
    captions = [text for text in (drawn / "pairs.tsv").read_text("utf-8").splitlines() if text.startswith("blue")]
    (drawn / "3.tsv").write_text("\n".join(captions) + "\n", "utf-8")
    with interruptible():
        interrupted = _start(drawn, "out", *long)
    _wait_for_step(interrupted, drawn / "out", 2)
    interrupted.send_signal(signal.SIGINT)
    _, errors = interrupted.communicate(timeout=300)
    assert interrupted.returncode == 130, errors
    said = "interrupted: the last checkpoint is kept; go on with: mmsearch train-reranker --resume --out out\n"
    assert errors.endswith(said)
    refused = mmsearch("train-reranker", "--out", "out", *DATA, check=1)
    assert refused.stderr == "mmsearch: out holds a run already; go on with it: --resume, or choose another folder\n"
    other = mmsearch("train", "--out", "out", "--resume", check=1)
    assert other.stderr.endswith("trains a reranker: go on with it by mmsearch train-reranker --resume\n")

    kept = (drawn / "pairs.tsv").read_text("utf-8")
    (drawn / "pairs.tsv").write_text(kept.replace("a white box on", "a wide box on"), "utf-8")
    changed = CliRunner().invoke(app, ["train-reranker", "--out", str(drawn / "out"), "--resume"])
    assert isinstance(changed.exception, MMSearchError)
    said = "these changed: captions to learn from (40 as before, but not the same); bring back what it had"
    assert said in str(changed.exception)
    (drawn / "pairs.tsv").write_text(kept, "utf-8")

    weights = (drawn / "out" / "run" / "checkpoint.pt").read_bytes()
    environment = {**os.environ, "HOME": str(drawn / "home"), "OMP_NUM_THREADS": "1"}
    again = subprocess.Popen(  # from another folder
        [sys.executable, "-m", "mmsearch.cli", "train-reranker", "--out", str(drawn / "out"), "--resume"],
        cwd=drawn / "home", env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while (drawn / "out" / "run" / "checkpoint.pt").read_bytes() == weights:
        assert again.poll() is None, again.communicate()
        time.sleep(0.01)
    again.send_signal(signal.SIGKILL)
    again.communicate()
    assert again.returncode == -signal.SIGKILL
    assert not (drawn / "out" / "reranker.json").exists()

    done = mmsearch("train-reranker", "--out", "out", "--resume")
    assert "going on after step" in done.stderr
    output = done.stdout.splitlines()
    assert output[0].startswith("kept step ")
    assert output[0].endswith(" of 8")
    assert output[1].startswith("  text to image  R@1 ")
    assert output[-1] == 'use it with: reranker = "out" in the settings, or MMSEARCH_RERANKER=out'
    log = [json.loads(text) for text in (drawn / "out" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [one["step"] for one in log if one["event"] == "dev"] == [2, 4, 6, 8]  # none twice, none left out
    assert RerankCard.read(drawn / "out").name == f"local-dir:{drawn / 'out'}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "unless a run is resumed with --resume"),
        (("--captions", "pairs.tsv"), "unless a run is resumed with --resume"),
        (("--resume", "--steps", "3"), "leave out everything but --out"),
        ((*DATA, "--set", "speed=9"), "wanted NAME=VALUE"),
        ((*DATA, "--set", "views=many"), "wanted a whole number"),
        ((*DATA, "--dev", "1.5"), "a share must be"),
        ((*DATA, "--dev", "0"), "a reranker is judged by some photos"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train-reranker", "--out", str(tmp_path / "out"), *arguments])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (DATA, "pairs.tsv, line 49: wanted 'file name<TAB>caption', got 'no tab here'"),
        (("--captions", "none.tsv", "--images", "images"), "none.tsv cannot be read"),
        (("--captions", "good.tsv", "--images", "images", "--questions", "images"), "images: no such folder"),
        (("--captions", "good.tsv", "--images", "images", "--questions", "asked"), "line 7: there is no photo '9.png'"),
        (("--captions", "good.tsv", "--images", "images", "--dev", "none.tsv"), "none.tsv cannot be read"),
        (("--captions", "good.tsv", "--images", "nowhere"), "nowhere: no such folder"),
        ((*DATA, "--model", "ViT-B-33"), "there is no model 'ViT-B-33'"),
        (("--resume",), "out holds no run that could be resumed; start one without --resume"),
    ],
)
def test_what_is_wrong_with_the_data_is_said(
    arguments: tuple[str, ...], message: str, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(drawn)
    shutil.copy("pairs.tsv", "good.tsv")
    for file, fault in (("pairs.tsv", "no tab here\n"), ("asked/qa.tsv", "9.png\twhat is it?\tball\n")):
        with Path(file).open("a", encoding="utf-8") as open_file:
            open_file.write(fault)
    done = CliRunner().invoke(app, ["train-reranker", "--out", "out", *arguments])
    assert isinstance(done.exception, MMSearchError)  # main() makes it one line and exit code 1
    assert message in worded(done.exception)
    assert not Path("out").exists()


def test_model_without_region_tokens_is_refused(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(drawn)
    model_without_regions(drawn / "plain")
    arguments = ["train-reranker", "--out", "out", *DATA, *SMALL, "--model", "local-dir:plain"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, MMSearchError)
    assert str(done.exception) == f"local-dir:{drawn / 'plain'} gives no region tokens, which a reranker needs"
    assert not Path("out").exists()


def test_line_of_each_phase() -> None:
    shown = {
        "photos": "Reading photos", "views": "Frozen layers, photos", "captions": "Frozen layers, captions",
        "writing": "Figures and files",
    }  # fmt: skip
    assert {phase: line(TrainProgress(phase, 1, 2)) for phase in shown} == shown
    step = TrainProgress("training", 3, 60, 0, 0, 1.25, 1e-3, 96.4, 3700.0)
    assert line(step) == "loss 1.250  lr 1.0e-03  96 pairs/s  1:01:40 left"
