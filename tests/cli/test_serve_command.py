"""``mmsearch serve`` as a process: its address, odd clients, signals, and two of it on one library."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from samples import CLI, interruptible, surroundings

API = "/api/v1"


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of an empty library, and the address that it prints."""
    command = [
        sys.executable,
        "-m",
        "mmsearch.cli",
        "serve",
        "--port",
        "0",
        "--library",
        str(folder / "served"),
        *options,
    ]
    with interruptible():
        process = subprocess.Popen(
            command, env=surroundings(folder, {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def parts(address: str) -> tuple[str, int, str]:
    match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]+)", address)
    assert match is not None, address
    return f"http://127.0.0.1:{match[1]}", int(match[1]), match[2]


def client(address: str) -> httpx.Client:
    base, _, token = parts(address)
    return httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=60)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_at_a_signal_although_somebody_listens(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    with serving(tmp_path) as (process, address), client(address) as asks:
        assert asks.get(f"{API}/status").json()["photos"] == 0
        with asks.stream("GET", f"{API}/index/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            process.send_signal(sent)
            for _ in answer.iter_bytes():
                pass
        assert process.wait(30) == code
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_odd_clients_cost_nobody_else_anything(tmp_path: Path) -> None:
    """Half a request, a header without end, thousands of headers, a body without end: others are answered meanwhile."""
    with serving(tmp_path) as (process, address), client(address) as asks:
        _, port, token = parts(address)
        head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n".encode()
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        for one in slow:
            one.sendall(b"GET / HTTP/1.1\r\n" + head)
        floods = (
            b"GET / HTTP/1.1\r\n" + head + b"X-Flood: " + b"a" * 10**6,
            b"GET / HTTP/1.1\r\n" + head + b"".join(b"X-%d: a\r\n" % number for number in range(100_000)),
            b"GET /" + b"a" * 10**6,
        )
        for flood in floods:
            assert _answer(port, flood).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")), flood[:30]
        before = _memory(process.pid)
        body = f"POST {API}/search/image HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        answer = _answer(port, body.replace(b"\r\n\r\n", b"\r\n" + head + b"\r\n"), 1024)
        assert answer.startswith(b"HTTP/1.1 413")
        assert asks.get(f"{API}/status").status_code == 200
        assert _memory(process.pid) - before < 200 * 2**20  # of 1 GB that was offered; 50 MB are taken
        for one in slow:
            one.close()


def _answer(port: int, sent: bytes, megabytes: int = 0) -> bytes:
    """What a server says first to what it is sent, chunks of a megabyte after it."""
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            for _ in range(megabytes):
                connection.sendall(chunk)
        with contextlib.suppress(ConnectionError):
            return connection.recv(4096)
    return b"HTTP/1.1 400 closed"


def _memory(process: int) -> int:
    """Resident bytes."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        pytest.skip("only Linux tells the memory of a process")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text("ascii"))
    assert found is not None
    return int(found[1]) * 1024


def test_two_servers_of_one_library(tmp_path: Path) -> None:
    first, second = serving(tmp_path), serving(tmp_path, "--read-only")
    with first as (_, writes), second as (_, reads), client(writes) as one, client(reads) as other:
        one.post(f"{API}/searches", json={"name": "a", "query": "q=b"}).raise_for_status()
        assert other.get(f"{API}/searches").json() == {"searches": [{"name": "a", "query": "q=b"}]}
        assert other.delete(f"{API}/searches/a").status_code == 403


def test_a_port_that_is_taken_is_said(mmsearch: CLI, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = mmsearch("serve", "--port", str(port), "--library", tmp_path / "served", check=1)
    assert failed.stderr.startswith(f"mmsearch: cannot listen on 127.0.0.1:{port}: ")


def test_an_empty_library_and_other_machines_are_told_what_to_do(tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as (process, address):
        parts(address)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        told = process.stderr.read()
    assert "nothing is indexed yet: mmsearch index FOLDER; or add a folder on the page" in told
    assert "other machines put this machine's address" in told


def test_a_token_that_is_guessed_is_refused(mmsearch: CLI) -> None:
    assert "at least 16 characters" in mmsearch("serve", "--token", "1234", check=2).stderr


def test_only_this_machine_sees_places_unless_it_is_said() -> None:
    from mmsearch.cli.serve import _options

    here = _options("127.0.0.1", None, (), False, None)
    assert (here.local, here.show_places, here.any_address) == (True, True, False)
    for host, names in (("0.0.0.0", ()), ("192.168.1.2", ()), ("127.0.0.1", ("photos.example",))):
        there = _options(host, None, names, False, None)
        assert (there.local, there.show_places) == (False, False)
        assert _options(host, None, names, False, True).show_places is True
    assert _options("::1", None, (), False, None).allows("[::1]:7878")
    assert len({_options("::1", None, (), False, None).token for _ in range(3)}) == 3


def test_answers_do_not_wait_for_more_to_send() -> None:
    """asyncio turns Nagle's algorithm off only for sockets that name their protocol."""
    from mmsearch.cli.serve import _listening

    with _listening("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
