"""The first run on a machine where a hub can be reached: download, export, index, query; and all that goes wrong."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import hub_models
import pytest
from hub_models import CPU, GPU, REPOSITORIES, SAFE, write_repository
from samples import CLI, surroundings
from shared import made_once
from stand_in_hub import COMMIT, Hub, Trouble

from mmsearch.encoders.hub import download
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
def later(mmsearch: CLI, hub: Hub) -> CLI:
    """``mmsearch`` in this process, with the same home; the hub may be asked too."""
    return partial(mmsearch, HF_ENDPOINT=hub.url, MMSEARCH_OFFLINE="0")


@pytest.fixture
def run(hub: Hub, tmp_path: Path) -> Run:
    """``mmsearch`` in a process of its own, that may ask the hub; its home is new."""

    def call(*arguments: str | Path, check: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {"HF_ENDPOINT": hub.url, "MMSEARCH_OFFLINE": "0", **variables}
        command = [sys.executable, hub_models.__file__, *map(str, arguments)]
        environment = {**surroundings(tmp_path, own), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == check, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


def blobs(tmp_path: Path, name: str) -> Path:
    return tmp_path / "home/.cache/huggingface/hub" / f"models--{REPOSITORIES[name].replace('/', '--')}" / "blobs"


def test_auto_downloads_exports_indexes_and_answers(
    run: Run, later: CLI, hub: Hub, photos: Path, tmp_path: Path
) -> None:
    weights = f"{REPOSITORIES[CPU]}/{SAFE}"
    # A run that comes to its end in the middle of a download: the next one goes on from there.
    hub.troubles += [Trouble(cut=3_000_000, file=SAFE, times=1), Trouble(404, file=SAFE, times=100)]
    refused = later("index", photos, "--model", CPU, check=1)
    assert refused.stderr.splitlines()[-1].endswith("what came is kept, and the same command goes on")
    hashed = hashlib.sha256((hub.root / weights).read_bytes()).hexdigest()
    part = blobs(tmp_path, CPU) / f"{hashed}.part"
    assert part.stat().st_size == 2 * 2**20
    for seen in (hub.troubles, hub.sent, hub.ranges):
        seen.clear()
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
    assert sorted(set(hub.ranges)) == [f"bytes={number * 2**20}-" for number in (2, 4)]  # blocks of 1 MiB are written
    assert not part.exists()
    assert hub.leaked == []
    hub.stop()  # from here on there is no hub
    for variables in ({}, {"MMSEARCH_OFFLINE": "1"}):
        found = later("query", "-k", "2", "--json", "a cat", **variables)
        assert (len(found.stdout.splitlines()), found.stderr) == (2, "")
        assert "5 added" in later("index", photos, "-l", f"new{len(variables)}", "--model", CPU, **variables).stderr


def test_a_borrowed_tokenizer_comes_too_and_all_works_offline(run: Run, later: CLI, hub: Hub, photos: Path) -> None:
    done = run("index", photos, "--model", GPU, "--device", "cpu")
    assert "5 added" in done.stderr
    files = (SAFE, "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
    assert sorted(hub.sent) == [f"{REPOSITORIES[GPU]}/{file}" for file in files]
    listed = [json.loads(line) for line in later("models", "--json").stdout.splitlines()]
    assert {one["name"]: (one["where"], one["languages"]) for one in listed} == {
        "embedded": ("embedded", "English"),
        "ViT-B-16-SigLIP2/webli": ("exported", "109 languages"),
        "ViT-B-32-256/datacomp_s34b_b86k": ("hub", "English"),
    }
    hub.stop()
    assert len(later("query", "-k", "2", "--paths", "a cat").stdout.splitlines()) == 2
    assert "5 added" in later("index", photos, "-l", "new", "--model", GPU, MMSEARCH_OFFLINE="1").stderr


@pytest.mark.slow
def test_a_wrong_hash_is_refused(later: CLI, hub: Hub, photos: Path, tmp_path: Path) -> None:
    hub.stated[SAFE] = "0" * 64
    done = later("index", photos, "--model", CPU, check=1)
    assert f"came damaged from {hub.url}: their SHA-256 is " in done.stderr
    assert [file.name for file in blobs(tmp_path, CPU).iterdir() if file.suffix != ".lock"] == []
    auto = later("index", photos, "--device", "cpu")
    assert "using the embedded model: the weights of ViT-B-32-256/datacomp_s34b_b86k came damaged" in auto.stderr


@pytest.fixture
def fetched(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``fetched(repo, file)``: what is said of a download; empty when all is well."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))

    def fetch(repo: str, file: str = "open_clip_config.json", token: str = "") -> str:
        monkeypatch.setenv("HF_TOKEN", token)
        try:
            download.fetch("mine", repo, [file])
        except ModelError as error:
            return str(error).removeprefix(f"mine could not be downloaded from {hub.url}: ")
        return ""

    return fetch


def test_what_the_hub_refuses_is_said(hub: Hub, fetched: Callable[..., str]) -> None:
    own, other = REPOSITORIES[CPU], REPOSITORIES[GPU]
    hub.gated, hub.private = {own}, {other}
    hub.renamed["old/name"] = own
    hub.tokens = {"weak": set(), "strong": {own, other}}
    log_in, page = "log in: `hf auth login`, or set HF_TOKEN", f"{hub.url}/{own}"
    assert fetched(own) == f"{own} is gated, and no token was sent; accept its terms at {page}, then {log_in}"
    for absent in (other, "no/body"):
        assert fetched(absent) == f"there is no repository {absent}, or it is private; to open it {log_in}"
    assert fetched("old/name").startswith("old/name is gated, and no token was sent; accept its terms at ")
    assert "the account of the token that was sent has no access; accept" in fetched(own, token="weak")
    closed = "there is no repository {}, or it is private and the token that was sent does not open it"
    for absent in (other, "no/body"):
        assert fetched(absent, token="weak") == closed.format(absent)
    refused = "it does not accept the token that was sent; log in anew: `hf auth login`, or set HF_TOKEN to another"
    assert fetched(own, token="unknown") == refused
    assert [fetched(repo, SAFE, "strong") for repo in (own, other, "old/name")] == ["", "", ""]
    assert fetched("no/body", token="strong") == closed.format("no/body")
    assert fetched(own, "nothing.json", "strong") == f"{own} holds none of nothing.json"
    assert hub.leaked == []


def test_a_hub_that_stays_busy_ends_in_a_sentence(
    hub: Hub, fetched: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("mmsearch.encoders.hub.download.time.sleep", waited.append)
    hub.troubles.append(Trouble(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, on="facts", times=100))
    said = fetched(REPOSITORIES[CPU])
    assert said.startswith("429 Too Many Requests")
    assert said.endswith("what came is kept, and the same command goes on")
    hub.troubles[:] = [Trouble(429, {"Retry-After": "90000"}, on="facts"), Trouble(500, on="content")]
    assert fetched(REPOSITORIES[CPU]) == ""
    assert waited == [1.0] * download.FAILURES + [download.LONGEST, 1.0]


def test_the_stand_in_speaks_the_hubs_protocol(hub: Hub) -> None:
    def ask(path: str, **headers: str) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", hub.server_port)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    repo = REPOSITORIES[GPU]
    status, large = ask(f"/{repo}/resolve/main/{SAFE}")
    assert (status, large["x-repo-commit"], large["location"].startswith(hub.cdn.url)) == (302, COMMIT, True)
    assert large["x-linked-size"] == str((hub.root / repo / SAFE).stat().st_size)
    status, small = ask(f"/{repo}/resolve/{COMMIT}/tokenizer.json")
    assert (status, small["location"]) == (307, f"/api/resolve-cache/models/{repo}/{COMMIT}/tokenizer.json")
    assert ask(small["location"], If_None_Match=small["etag"])[0] == 304
    status, part = ask(small["location"], Range="bytes=100-")
    assert (status, part["content-range"].startswith("bytes 100-")) == (206, True)
    assert ask(small["location"], Range="bytes=99999999-")[0] == 416
    assert ask(f"/{repo}/resolve/other/tokenizer.json")[1]["x-error-code"] == "RevisionNotFound"
    assert ask(f"/{repo}/resolve/main/other")[1]["x-error-code"] == "EntryNotFound"
    assert ask(f"/api/models/{repo}/revision/{COMMIT}")[0] == ask(f"/api/models/{repo}/tree/main")[0] == 200


@pytest.mark.slow
@pytest.mark.skipif("MMSEARCH_FULL_SIZE" not in os.environ, reason="8 GB and minutes; MMSEARCH_FULL_SIZE=1")
@pytest.mark.parametrize("name", REPOSITORIES)
def test_full_size(name: str, tmp_path: Path, photos: Path) -> None:
    """The first choices at their true size, and open_clip as it is: once from the hub, then without it."""
    write_repository(tmp_path / "hub", name, narrow=False)
    server = Hub(tmp_path / "hub")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        own = surroundings(tmp_path, {"HF_ENDPOINT": server.url, "MMSEARCH_OFFLINE": "0"})
        command = [sys.executable, "-m", "mmsearch.cli", *map(str, arguments)]
        done = subprocess.run(command, env=own, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    chosen = [] if name == CPU else ["--model", name]
    assert "5 added" in run("index", photos, "--device", "cpu", *chosen).stderr
    server.stop()
    assert len(run("query", "-k", "2", "--paths", "a cat").stdout.splitlines()) == 2
