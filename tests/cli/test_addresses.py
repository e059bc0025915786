"""Commands that are given the address of a server: what they say of it, and that no password is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import forget, url_of
from samples import CLI

from mmsearch.cli.completing import _library


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield url_of(tmp_path, empty=True)
    forget(tmp_path)


def test_doctor_looks_at_a_server(mmsearch: CLI, url: str, photos: Path) -> None:
    def told(check: int, at: str) -> dict[str, str]:
        lines = mmsearch("doctor", "--no-speed", "--json", "--library", at, check=check).stdout.splitlines()
        return {one["name"]: one["state"] for one in map(json.loads, lines) if one["name"] in ("server", "library")}

    assert told(0, url) == {"server": "ok", "library": "advice"}
    mmsearch("index", photos / "trips", "--library", url)
    assert told(0, url) == {"server": "ok", "library": "ok"}
    assert told(1, "postgresql://me:secret@127.0.0.1:1/photos") == {"server": "broken"}
    assert "2 photos" in mmsearch(MMSEARCH_LIBRARY=url).stdout


@pytest.mark.parametrize("command", ["query cat", "status --json", "doctor --no-speed", "models", "tag --list"])
def test_no_password_is_said(command: str, mmsearch: CLI) -> None:
    said = mmsearch(*command.split(), "--library", "postgresql://me:secret@127.0.0.1:1/photos", check=1)
    assert "postgresql://me@127.0.0.1:1/photos" in said.stdout + said.stderr
    assert "secret" not in said.stdout + said.stderr


def test_values_of_a_library_on_a_server_are_not_completed(tmp_path: Path) -> None:
    assert _library(["query", "--library", "postgresql://me@host/photos"]) is None
    assert _library(["query", "--library=postgresql://me@host/photos"]) is None
    assert _library(["query", "-l", str(tmp_path)]) == tmp_path


@pytest.mark.skipif(not os.access("/proc/self/mem", os.R_OK), reason="this system has no such file")
def test_the_arguments_of_a_process_show_no_password() -> None:
    code = (
        "from mmsearch.cli.hidden_password import hide_password; hide_password();"
        "print(open('/proc/self/cmdline').read().replace(chr(0), ' ')); import sys; print(sys.argv[1:])"
    )
    given = ["--library", "postgresql://me:s3cret@h/db?sslmode=require&password=s3cret", "s3cret-free"]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    shown, kept = done.stdout.splitlines()
    assert shown.endswith("--library postgresql://me:******@h/db?sslmode=require&password=****** s3cret-free ")
    assert kept == str(given)
