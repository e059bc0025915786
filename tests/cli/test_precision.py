"""A library with an int8 model, on the real command line."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from samples import CLI
from small_models import write_open_clip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{write_open_clip(tmp_path_factory.mktemp('open_clip') / 'model')}"


def fingerprints(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "library.sqlite") as connection:
        rows = connection.execute("SELECT fingerprint FROM models ORDER BY id").fetchall()
    connection.close()
    return [fingerprint for (fingerprint,) in rows]


def listed(mmsearch: CLI, name: str) -> list[tuple[str, str, bool]]:
    models = [json.loads(line) for line in mmsearch("models", "--json").stdout.splitlines()]
    return [(one["fingerprint"], one["precision"], one["in_use"]) for one in models if one["name"] == name]


def test_library_in_int8(mmsearch: CLI, photos: Path, tmp_path: Path, model: str) -> None:
    cache = tmp_path / "cache"
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


def test_to_int8_and_back(mmsearch: CLI, photos: Path, tmp_path: Path, model: str) -> None:
    mmsearch("index", photos, "--model", model)
    mmsearch("reindex", "--model", model, "--precision", "int8")
    library = Path(json.loads(mmsearch("status", "--json").stdout)["library"])
    plain, small = fingerprints(library)
    assert sorted(listed(mmsearch, model)) == sorted([(plain, "float32", False), (small, "int8", True)])
    assert "exported in int8, in use" in mmsearch("models").stdout
    mmsearch("reindex", "--activate", model)  # the other one of that name
    assert sorted(listed(mmsearch, model)) == sorted([(plain, "float32", True), (small, "int8", False)])


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
