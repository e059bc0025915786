"""The hub is asked quietly and not for long."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsearch.encoders.hub import access


def test_status_is_what_the_hub_says(fake_hub: Any, hub_root: Path) -> None:
    (hub_root / "org" / "name").mkdir(parents=True)
    assert access.ask("org/name") == 200
    assert access.ask("org/other") == 401  # as for a private one
    assert access.ask() == 404  # this hub has no front page
    assert fake_hub.asked == ["api/models/org/name", "api/models/org/other", ""]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no.such.host.invalid", "nonsense", "file:///"])
def test_no_status_where_nobody_answers(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert access.ask() is None


def test_a_hub_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        start = time.monotonic()
        assert access.ask(seconds=0.2) is None
        assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "~/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/c", "HF_HOME": "~/h"}, "~/h/hub"),
        ({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "$PLACE/x", "PLACE": "/p"}, "/p/x"),
    ],
)
def test_cache_folder_follows_the_hubs_variables(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert access.cache_folder() == Path(folder).expanduser()


def test_downloads_are_found(downloaded: Callable[..., Path]) -> None:
    assert (access.repositories(), access.cached("org/name", "a.json")) == ([], None)
    file = downloaded("org/name", "a.json")
    downloaded("org/an--other", "b.json")
    assert access.repositories() == ["org/an--other", "org/name"]
    assert access.cached("org/name", "a.json") == file
    assert access.cached("org/name", "b.json") is None


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, None),
        ({"HF_HUB_OFFLINE": "0", "MMSEARCH_OFFLINE": "no"}, None),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        ({"HF_HUB_OFFLINE": "True", "MMSEARCH_OFFLINE": " YES "}, "MMSEARCH_OFFLINE"),
    ],
)
def test_offline_variables(variables: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMSEARCH_OFFLINE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert access.forbidden() == found


def test_the_token_is_found_as_the_hubs_library_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert access.token() is None
    (tmp_path / "token").write_text(" of-the-file\n", "utf-8")
    assert access.token() == "of-the-file"
    monkeypatch.setenv("HF_TOKEN", "of-the-variable")
    assert access.token() == "of-the-variable"
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert access.token() is None


def test_a_token_opens_a_private_repository_and_goes_to_the_hub_alone(
    fake_hub: Any, hub_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hub_root / "org" / "name").mkdir(parents=True)
    (hub_root / "org" / "name" / "config.json").write_text("{}", "utf-8")
    fake_hub.private, fake_hub.tokens = {"org/name"}, {"mine": {"org/name"}}
    assert access.about("org/name") == access.Answer(401)
    monkeypatch.setenv("HF_TOKEN", "mine")
    assert access.about("org/name") == access.Answer(200, ("config.json",))
