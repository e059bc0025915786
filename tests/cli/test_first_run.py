"""The first run on a machine where a hub can be reached: download, export, index, query; and all that goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hub_models
import pytest
from hub_models import CPU, GPU, REPOSITORIES, SAFE, write_repository
from samples import surroundings
from shared import made_once
from stand_in_hub import Hub, Trouble

from mmsearch.errors import ModelError

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the hub holds."""

    def make(root: Path) -> None:
        for name in REPOSITORIES:
            write_repository(root, name)

    return made_once(tmp_path_factory, "hub", make)


@pytest.fixture
def hub(repositories: Path) -> Iterator[Hub]:
    server = Hub(repositories)
    yield server
    server.stop()


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Run:
    """``mmsearch`` in a process of its own, that may ask the hub; its home is new."""

    def call(*arguments: str | Path, check: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {"HF_ENDPOINT": hub.url, "MMSEARCH_OFFLINE": "0", **variables}
        command = [sys.executable, hub_models.__file__, *map(str, arguments)]
        environment = {**surroundings(tmp_path, own), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == check, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


def blobs(tmp_path: Path, name: str) -> Path:
    return tmp_path / "home/.cache/huggingface/hub" / f"models--{REPOSITORIES[name].replace('/', '--')}" / "blobs"


def test_auto_downloads_exports_indexes_and_answers(run: Run, hub: Hub, photos: Path, tmp_path: Path) -> None:
    weights = f"{REPOSITORIES[CPU]}/{SAFE}"
    # The hub is busy, then slow, and its CDN breaks off: none of it ends the run.
    hub.troubles += [
        Trouble(429, {"RateLimit": '"resolvers";r=0;t=2', "RateLimit-Policy": '"resolvers";q=3000;w=300'}, on="facts"),
        Trouble(503, on="facts"),
        Trouble(429, on="api"),
        Trouble(cut=3_000_000, file=SAFE),
        Trouble(delay=3, file=SAFE),
        Trouble(403, file=SAFE),  # the address has expired meanwhile
    ]
    done = run("index", photos, "--device", "cpu", HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert done.stderr.splitlines()[:3] == [
        f"downloading ViT-B-32-256/datacomp_s34b_b86k from {hub.url}",
        f"{hub.url} is busy (HTTP 429): asking again in 2 s",
        f"{hub.url} is busy (HTTP 503): asking again in 1 s",
    ]
    assert done.stderr.count(f"{hub.url} broke off: asking again in 1 s") == 2
    assert "using ViT-B-32-256/datacomp_s34b_b86k, the first choice on a CPU" in done.stderr
    assert "5 added" in done.stderr
    assert hub.sent == [weights] * 4
    assert set(hub.ranges) == {f"bytes={2 * 2**20}-"}  # what came is written in blocks of 1 MiB
    assert hub.leaked == []
    hub.stop()  # from here on there is no hub
    for variables in ({}, {"MMSEARCH_OFFLINE": "1"}):
        found = run("query", "-k", "2", "--json", "a cat", **variables)
        assert (len(found.stdout.splitlines()), found.stderr) == (2, "")
        assert "5 added" in run("index", photos, "-l", f"new{len(variables)}", "--model", CPU, **variables).stderr


def test_a_borrowed_tokenizer_comes_too_and_all_works_offline(run: Run, hub: Hub, photos: Path) -> None:
    done = run("index", photos, "--model", GPU, "--device", "cpu")
    assert "5 added" in done.stderr
    files = (SAFE, "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
    assert sorted(hub.sent) == [f"{REPOSITORIES[GPU]}/{file}" for file in files]
    listed = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    assert {one["name"]: (one["where"], one["languages"]) for one in listed} == {
        "embedded": ("embedded", "English"),
        "ViT-B-16-SigLIP2/webli": ("exported", "109 languages"),
        "ViT-B-32-256/datacomp_s34b_b86k": ("hub", "English"),
    }
    hub.stop()
    assert len(run("query", "-k", "2", "--paths", "a cat").stdout.splitlines()) == 2
    assert "5 added" in run("index", photos, "-l", "new", "--model", GPU, MMSEARCH_OFFLINE="1").stderr


def test_a_run_that_was_killed_goes_on_where_it_was(run: Run, hub: Hub, photos: Path, tmp_path: Path) -> None:
    hub.troubles.append(Trouble(cut=3_000_000, file=SAFE, times=1))
    hub.troubles.append(Trouble(404, file=SAFE, times=100))
    done = run("index", photos, "--model", CPU, check=1)
    assert done.stderr.splitlines()[-1].endswith("what came is kept, and the same command goes on")
    weights = hub.root / REPOSITORIES[CPU] / SAFE
    part = blobs(tmp_path, CPU) / f"{hashlib.sha256(weights.read_bytes()).hexdigest()}.part"
    assert part.stat().st_size == 2 * 2**20
    hub.troubles.clear()
    assert "5 added" in run("index", photos, "--model", CPU).stderr
    assert not part.exists()


def test_a_wrong_hash_is_refused(run: Run, hub: Hub, photos: Path, tmp_path: Path) -> None:
    hub.stated[SAFE] = "0" * 64
    done = run("index", photos, "--model", CPU, check=1)
    assert f"came damaged from {hub.url}: their SHA-256 is " in done.stderr
    assert [file.name for file in blobs(tmp_path, CPU).iterdir() if file.suffix != ".lock"] == []
    auto = run("index", photos, "--device", "cpu")
    assert "using the embedded model: the weights of ViT-B-32-256/datacomp_s34b_b86k came damaged" in auto.stderr


LOAD = """
import sys
from mmsearch.encoders.factory import LoadOptions, choose
from mmsearch.errors import ModelError
for name in sys.argv[1:]:
    try:
        print(choose(name, LoadOptions("cpu")).note)
    except ModelError as error:
        print(error.code, error)
"""


def test_what_the_hub_refuses_is_said(hub: Hub, tmp_path: Path) -> None:
    own, other = REPOSITORIES[CPU], REPOSITORIES[GPU]
    hub.gated, hub.private = {own}, {other}
    hub.renamed["old/name"] = own
    hub.tokens = {"weak": set(), "strong": {own, other}}
    names = [f"hf-hub:{name}" for name in (own, other, "no/body", "old/name")]

    def said(token: str) -> list[str]:
        variables = {"HF_ENDPOINT": hub.url, "MMSEARCH_OFFLINE": "0", **({"HF_TOKEN": token} if token else {})}
        done = subprocess.run(
            [sys.executable, "-c", LOAD, *names], env=surroundings(tmp_path, variables), capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout.replace(f" could not be downloaded from {hub.url}", "").splitlines()

    log_in = "log in: `hf auth login`, or set HF_TOKEN"
    accept = f"accept its terms at {hub.url}/{own}, then {log_in}"
    assert said("") == [
        f"model-refused hf-hub:{own}: {own} is gated, and no token was sent; {accept}",
        f"model-refused hf-hub:{other}: there is no repository {other}, or it is private; to open it {log_in}",
        f"model-refused hf-hub:no/body: there is no repository no/body, or it is private; to open it {log_in}",
        f"model-refused hf-hub:old/name: old/name is gated, and no token was sent; {accept.replace(own, 'old/name')}",
    ]
    gated, private, *_ = said("weak")
    assert "is gated, and the account of the token that was sent has no access; accept its terms" in gated
    assert private.endswith("or it is private and the token that was sent does not open it")
    assert said("unknown")[1].endswith(
        "it does not accept the token that was sent; log in anew: `hf auth login`, or set HF_TOKEN to another"
    )
    gated, private, nobody, renamed = said("strong")
    assert (gated, private) == (f"using hf-hub:{own}", f"using hf-hub:{other}")
    assert nobody.endswith("or it is private and the token that was sent does not open it")
    assert renamed == "using hf-hub:old/name"
    assert hub.leaked == []


def test_a_hub_that_stays_busy_ends_in_a_sentence(hub: Hub, tmp_path: Path) -> None:
    from mmsearch.encoders.hub import download

    waited: list[float] = []
    hub.troubles.append(Trouble(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, on="facts", times=100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(tmp_path / "huggingface"))
        patch.setattr(download.time, "sleep", waited.append)
        with pytest.raises(ModelError, match=r"could not be downloaded from .*429.*the same command goes on"):
            download.fetch("mine", REPOSITORIES[CPU], [SAFE])
        hub.troubles[:] = [Trouble(429, {"Retry-After": "90000"}, on="facts")]
        download.fetch("mine", REPOSITORIES[CPU], [SAFE])
    assert waited == [1.0] * download.FAILURES + [download.LONGEST]


@pytest.mark.slow
@pytest.mark.skipif("MMSEARCH_FULL_SIZE" not in os.environ, reason="4 GB and minutes; MMSEARCH_FULL_SIZE=1")
def test_full_size(tmp_path: Path, photos: Path) -> None:
    """The first choice on a CPU at its true size, and open_clip as it is."""
    write_repository(tmp_path / "hub", CPU, narrow=False)
    server = Hub(tmp_path / "hub")
    own = {"HF_ENDPOINT": server.url, "MMSEARCH_OFFLINE": "0"}
    command = [sys.executable, "-m", "mmsearch.cli", "index", str(photos), "--device", "cpu"]
    done = subprocess.run(command, env=surroundings(tmp_path, own), cwd=tmp_path, capture_output=True, text=True)
    server.stop()
    assert done.returncode == 0, done.stderr
    assert "5 added" in done.stderr
