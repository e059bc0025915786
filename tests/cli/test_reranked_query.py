"""``mmsearch query`` with reranking: a small random reranker on the real command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import CLI

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.opening import open_library
from mmsearch.rerank.card import RerankCard
from mmsearch.types import Hit

RERANKED = ("first_stage", "answer", "answer_confidence")


@pytest.fixture
def library(mmsearch: CLI, photos: Path, region_model: Path, small_reranker: Path) -> Path:
    """The library of the command line's home, with the region tokens that the small reranker reads."""
    own, folder = {"MMSEARCH_RERANKER": str(small_reranker)}, photos.parent / "library"
    mmsearch("index", photos, "--model", f"local-dir:{region_model}", "--library", folder, **own)
    return folder


def found(library: Path, reranker: Path, encoder: OnnxEncoder, query: str, rerank: bool | None = None) -> Sequence[Hit]:
    """What the library itself finds."""
    with open_library(library, settings=Settings(device="cpu", reranker=str(reranker)), encoder=encoder) as opened:
        return opened.search(query, rerank=rerank)


def reranked(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    rows = [(hit.path, hit.score, hit.first_stage, hit.answer, hit.answer_confidence) for hit in hits]
    named = [dict(zip(("path", "score", *RERANKED), row, strict=True)) for row in rows]
    return [{name: value for name, value in row.items() if value is not None} for row in named]


def test_json_has_what_reranking_found(
    mmsearch: CLI, library: Path, small_reranker: Path, region_encoder: OnnxEncoder
) -> None:
    def run(*arguments: str) -> list[dict[str, Any]]:
        out = mmsearch("query", "--json", "--library", library, *arguments, MMSEARCH_RERANKER=str(small_reranker))
        rows = [json.loads(line) for line in out.stdout.splitlines()]
        return [{name: row[name] for name in ("path", "score", *RERANKED) if name in row} for row in rows]

    question, text = "is there a cat?", "a cat on grass"
    asked = reranked(found(library, small_reranker, region_encoder, question))
    assert [set(row) for row in asked] == [{"path", "score", *RERANKED}] * 5
    assert run(question) == asked
    assert run(text, "--rerank") == reranked(found(library, small_reranker, region_encoder, text))
    assert run(question, "--no-rerank") == reranked(found(library, small_reranker, region_encoder, question, False))


def test_the_table_has_answers_where_a_question_was_asked(
    mmsearch: CLI, library: Path, small_reranker: Path, region_encoder: OnnxEncoder
) -> None:
    question = "how many dogs are there?"
    hits = found(library, small_reranker, region_encoder, question)
    options = {"MMSEARCH_RERANKER": str(small_reranker)}
    title, heads, *rows = mmsearch("query", "--library", library, question, **options).stdout.splitlines()
    assert (title.strip(), heads.split()) == (question, ["Score", "Answer", "Path", "Size", "Date"])
    assert [row.split()[:4] for row in rows] == [
        [
            f"{hit.score:.3f}",
            hit.answer,
            f"({hit.answer_confidence:.0%})",
            str(Path(hit.path).relative_to(library.parent)),
        ]
        for hit in hits
    ]
    heads = mmsearch("query", "--library", library, "a dog", **options).stdout.splitlines()[1]
    assert heads.split() == ["Score", "Path", "Size", "Date"]
    paths = mmsearch("query", "--library", library, "--paths", question, **options).stdout
    assert paths.splitlines() == [hit.path for hit in hits]


def test_reranking_that_cannot_be_had_is_an_error(mmsearch: CLI, library: Path, small_reranker: Path) -> None:
    done = mmsearch("query", "--library", library, "--rerank", "a cat", check=1, MMSEARCH_RERANKER="none")
    assert (done.stdout, done.stderr) == ("", "mmsearch: the setting reranker is none\n")
    assert mmsearch("query", "--library", library, "--paths", "a cat", MMSEARCH_RERANKER="none").stdout


ADVICE = "set reranker (MMSEARCH_RERANKER) to a folder with a trained reranker, to auto or to none"


def test_a_reranker_that_cannot_be_used_stops_only_who_asked_for_it(
    mmsearch: CLI, library: Path, small_reranker: Path, tmp_path: Path
) -> None:
    plain = mmsearch("query", "--library", library, "--json", "--no-rerank", "a cat", MMSEARCH_RERANKER="none").stdout
    damaged = shutil.copytree(small_reranker, tmp_path / "damaged")
    (damaged / "match.onnx").write_bytes(b"no graph")
    unfit = shutil.copytree(small_reranker, tmp_path / "unfit")
    card = RerankCard.read(unfit)
    (unfit / "reranker.json").write_text(replace(card, regions=f"another{card.regions}").to_json())
    other = f"the reranker {unfit} was trained on other region tokens than "
    reasons = {
        tmp_path / "nowhere": f"there is no folder {tmp_path / 'nowhere'}, which should hold a reranker; {ADVICE}\n",
        library: f"{library} is no reranker's folder: reranker.json, words.onnx, match.onnx, caption.onnx missing; "
        f"{ADVICE}\n",
        unfit: other,
        damaged: f"{damaged / 'match.onnx'} cannot be loaded: ",
    }
    for folder, reason in reasons.items():
        asked = ("query", "--library", library, "--json", "a cat")
        done = mmsearch(*asked, MMSEARCH_RERANKER=str(folder))
        assert done.stdout == plain
        assert done.stderr.startswith(f"the best pictures were not looked at again: {reason}")
        assert done.stderr.count("\n") == 1
        done = mmsearch(*asked, "--rerank", check=1, MMSEARCH_RERANKER=str(folder))
        assert done.stdout == ""
        assert done.stderr.startswith(f"mmsearch: {reason}")
        done = mmsearch(*asked, "--no-rerank", MMSEARCH_RERANKER=str(folder))
        assert (done.stdout, done.stderr) == (plain, "")


def test_a_reranked_query_imports_no_torch(library: Path, small_reranker: Path) -> None:
    code = (
        "import sys\nfrom mmsearch.cli.app import app\n"
        f"try: app(['query', '--json', '--library', {str(library)!r}, 'is there a cat?'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'open_clip', 'transformers', 'alembic', 'onnx') if name in sys.modules])"
    )
    environment = {**os.environ, "MMSEARCH_RERANKER": str(small_reranker)}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    *hits, loaded = out.stdout.splitlines()
    assert ["first_stage" in json.loads(hit) for hit in hits] == [True] * 5
    assert loaded == "[]"
