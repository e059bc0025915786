"""A library with an int8 model, on the real command line."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kept_graphs import kept_exports
from samples import CLI
from small_models import kept_graph_folder, small_clip

from mmsearch.encoders.factory import embedded
from mmsearch.encoders.protocol import ModelCard


@pytest.fixture(scope="module", autouse=True)
def traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where a test makes the graphs anew, from the same weights, nothing is traced again."""
    with kept_exports(kept_graph_folder(tmp_path_factory)):
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{small_clip(tmp_path_factory)[0]}"


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with its graphs in float32."""
    (_, graphs), cache = small_clip(tmp_path_factory), tmp_path_factory.mktemp("exports")
    shutil.copytree(graphs, cache / "models" / ModelCard.read(graphs).fingerprint)
    return cache


def fingerprints(folder: Path) -> list[str]:
    """Of the models that are searched with: the embedded one gives region tokens beside them."""
    with sqlite3.connect(folder / "library.sqlite") as connection:
        rows = connection.execute("SELECT fingerprint FROM models ORDER BY id").fetchall()
    connection.close()
    return [fingerprint for (fingerprint,) in rows if fingerprint != embedded().card.fingerprint]


def listed(mmsearch: CLI, name: str) -> list[tuple[str, str, bool]]:
    models = [json.loads(line) for line in mmsearch("models", "--json").stdout.splitlines()]
    return [(one["fingerprint"], one["precision"], one["in_use"]) for one in models if one["name"] == name]


def kept(mmsearch: CLI, *options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in mmsearch("reindex", "--json", *options).stdout.splitlines()]


def test_library_in_int8(mmsearch: CLI, photos: Path, tmp_path: Path, model: str, exports: Path) -> None:
    cache = shutil.copytree(exports, tmp_path / "cache")
    done = mmsearch("index", photos / "trips", "--model", model, "--precision", "int8", MMSEARCH_CACHE=cache)
    assert done.stderr.splitlines()[0] == f"using {model} in int8"
    library = Path(json.loads(mmsearch("status", "--json").stdout)["library"])
    (small,) = fingerprints(library)
    found = mmsearch("query", "a cat", "--json", MMSEARCH_CACHE=cache).stdout
    assert len(found.splitlines()) == 2

    shutil.rmtree(cache)  # it may be deleted: the same vectors again, from the weights
    assert mmsearch("query", "a cat", "--json", MMSEARCH_CACHE=cache).stdout == found
    assert (cache / "models" / small / "text.onnx").is_file()

    mmsearch("index", photos, MMSEARCH_CACHE=cache)  # without the option, also by the name of the model
    (photos / "new.png").write_bytes((photos / "cat.png").read_bytes() + b" ")
    done = mmsearch("index", photos, "--model", model, "--precision", "float32", MMSEARCH_CACHE=cache)
    remedy = f"mmsearch reindex --model {model} --precision float32"
    assert done.stderr.splitlines()[0] == f"the library keeps its vectors in int8; to make them anew: {remedy}"
    assert "using" not in done.stderr
    assert fingerprints(library) == [small]
    assert len(mmsearch("query", "a cat", "--json", MMSEARCH_CACHE=cache).stdout.splitlines()) == 6
    assert mmsearch("verify", "--deep", MMSEARCH_CACHE=cache).stdout == "all is well: 6 photos\n"


def test_to_int8_and_back(mmsearch: CLI, photos: Path, tmp_path: Path, model: str, exports: Path) -> None:
    cache = str(shutil.copytree(exports, tmp_path / "cache"))
    # With a reranker the embedded model is kept beside, for its tokens.
    mmsearch = partial(mmsearch, MMSEARCH_RERANKER="none", MMSEARCH_CACHE=cache)
    mmsearch("index", photos, "--model", model)
    mmsearch("reindex", "--model", model, "--precision", "int8")
    library = Path(json.loads(mmsearch("status", "--json").stdout)["library"])
    plain, small = fingerprints(library)
    assert sorted(listed(mmsearch, model)) == sorted([(plain, "float32", False), (small, "int8", True)])
    shown = mmsearch("models").stdout
    assert "exported in int8, in use" in shown
    assert "…" not in shown  # however long names are
    status = json.loads(mmsearch("status", "--json").stdout)
    assert (status["model"], status["fingerprint"], status["precision"]) == (model, small, "int8")
    assert f"model     {model} in int8\n" in mmsearch("status").stdout
    assert [(one["fingerprint"], one["precision"], one["active"]) for one in kept(mmsearch)] == [
        (small, "int8", True),
        (plain, "float32", False),
    ]
    first, second = mmsearch("reindex").stdout.splitlines()
    assert first.startswith(f"{model} in int8 ({small}): 5 vectors of ")
    assert second.startswith(f"{model} ({plain}): 5 vectors of ")

    mmsearch("reindex", "--activate", model)  # the other one of that name
    assert sorted(listed(mmsearch, model)) == sorted([(plain, "float32", True), (small, "int8", False)])
    assert json.loads(mmsearch("status", "--json").stdout)["precision"] == "float32"
    for precision, wanted in (("float32", plain), ("int8", small), ("int8", small)):
        active, _ = kept(mmsearch, "--activate", model, "--precision", precision)
        assert (active["fingerprint"], active["active"]) == (wanted, True)
    active, _ = kept(mmsearch, "--activate", plain)  # by its fingerprint
    assert active["fingerprint"] == plain
    mmsearch("reindex", "--prune")
    refused = mmsearch("reindex", "--activate", model, "--precision", "int8", check=2).stderr
    assert "has no vectors of" in refused


def test_precision_of_training_has_a_name_of_its_own(mmsearch: CLI, tmp_path: Path) -> None:
    data = ("--out", tmp_path / "out", "--captions", tmp_path / "none.tsv", "--images", tmp_path)
    help_text = mmsearch("train", "--help").stdout
    assert "--train-precision" in help_text
    assert " --precision" not in help_text
    told = "--precision of train is called --train-precision now"
    for option, hinted in (("--precision", True), ("--train-precision", False)):
        refused = mmsearch("train", *data, option, "half", check=2).stderr
        assert ("precision must be" in refused, told in refused) == (True, hinted)


def test_what_cannot_be(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    refused = mmsearch("index", photos, "--precision", "int4", check=2).stderr
    assert "must be float32 or int8, not 'int4'" in refused
    refused = mmsearch("index", photos, check=1, MMSEARCH_PRECISION="half").stderr
    assert refused == "mmsearch: MMSEARCH_PRECISION: precision must be float32 or int8, not 'half'\n"
    done = mmsearch("index", photos, "--model", "embedded", MMSEARCH_PRECISION="int8")
    said = "using the embedded model; not in int8, which is for open_clip models on a CPU"
    assert done.stderr.splitlines()[0] == said
    done = mmsearch("index", photos, "--precision", "int8")
    assert done.stderr.splitlines()[0] == "the embedded model is not offered in int8; the library keeps its vectors"
