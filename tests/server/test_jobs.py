"""Index runs over HTTP: beside searches, with their progress, stopped and ended."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from served import API, Asker, names

from mmsearch.library.library import Library
from mmsearch.server.jobs import IndexRuns


def events(runs: IndexRuns, until: Callable[[str], bool]) -> list[tuple[str, dict[str, Any]]]:
    """What a listener is told, up to and with the first event of such a name."""

    async def listen() -> list[tuple[str, dict[str, Any]]]:
        told = []
        async for part in runs.events():
            lines = dict(line.split(": ", 1) for line in part.decode().splitlines() if line)
            if "event" in lines:
                told.append((lines["event"], json.loads(lines["data"])))
                if until(lines["event"]):
                    return told
        return told

    return asyncio.run(asyncio.wait_for(listen(), 120))


def ended(name: str) -> bool:
    return name in ("done", "failed")


def test_a_run_is_told_and_its_photos_are_found(asker: Asker, library: Library, photos: Path) -> None:
    client = asker(library)
    assert client.get(f"{API}/search").json()["hits"] == []
    started = client.post(f"{API}/index", json={"paths": [str(photos)]})
    assert (started.status_code, started.json()) == (202, {"run": 1})
    *_, (name, report) = events(client.app.state.context.runs, ended)  # type: ignore[attr-defined]
    assert (name, report["added"], report["skipped"], report["run"]) == ("done", 5, [], 1)
    assert len(names(client.get(f"{API}/search").json())) == 5
    assert client.get(f"{API}/status").json()["indexing"] == {"running": False, "run": 1, "progress": None}
    assert client.post(f"{API}/index", json={}).json() == {"run": 2}
    *_, (name, report) = events(client.app.state.context.runs, ended)  # type: ignore[attr-defined]
    assert (name, report["unchanged"], report["run"]) == ("done", 5, 2)


def test_a_run_that_cannot_be_is_a_failure(asker: Asker, library: Library, tmp_path: Path) -> None:
    client = asker(library)
    client.post(f"{API}/index", json={"paths": [str(tmp_path / "nowhere")]})
    *_, (name, told) = events(client.app.state.context.runs, ended)  # type: ignore[attr-defined]
    assert (name, told["code"], told["run"]) == ("failed", "bad-path", 1)


class Held:
    """Holds a run at each of its photos until it is let go."""

    def __init__(self, runs: IndexRuns, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        progress = runs._progress

        def held(told: Any) -> None:
            self.reached.set()
            assert self.go.wait(60)
            progress(told)

        monkeypatch.setattr(runs, "_progress", held)


def test_one_run_at_a_time_which_can_be_stopped(
    asker: Asker, library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = asker(library)
    runs = client.app.state.context.runs  # type: ignore[attr-defined]
    held = Held(runs, monkeypatch)
    client.post(f"{API}/index", json={"paths": [str(photos)]})
    assert held.reached.wait(60)
    again = client.post(f"{API}/index", json={})
    assert (again.status_code, again.json()["code"], again.json()["fields"]) == (409, "index-running", {"run": 1})
    assert client.get(f"{API}/status").json()["indexing"]["running"] is True
    assert client.post(f"{API}/index/stop").json() == {"stopping": True}
    held.go.set()
    *_, (name, told) = events(runs, ended)
    assert (name, told["code"]) == ("failed", "index-stopped")
    runs._thread.join(60)
    monkeypatch.undo()
    assert client.post(f"{API}/index", json={"paths": [str(photos)]}).status_code == 202
    assert events(runs, ended)[-1][0] == "done"
    assert library.verify() == []


def test_streams_end_when_the_server_does(asker: Asker, library: Library) -> None:
    client = asker(library)
    runs = client.app.state.context.runs  # type: ignore[attr-defined]
    threading.Timer(0.5, runs.close, [1.0]).start()
    assert events(runs, ended) == []
    assert client.post(f"{API}/index", json={}).json()["code"] == "closing"


def test_events_are_an_event_stream(asker: Asker, library: Library) -> None:
    client = asker(library)
    client.app.state.context.runs.close(0.0)  # type: ignore[attr-defined]
    answer = client.get(f"{API}/index/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "retry: 2000\n\n"


def test_searches_go_on_while_pictures_are_indexed(asker: Asker, indexed: Library, photos: Path) -> None:
    """32 clients, and a run that adds photos: each search is answered, and by whole pages."""
    client = asker(indexed, requests_per_second=10_000.0)
    for number in range(6):
        shutil.copy(photos / "grass.png", photos / f"copy{number}.png")
        with (photos / f"copy{number}.png").open("ab") as file:
            file.write(bytes(number + 1))
    answers: list[Any] = []

    def ask(number: int) -> None:
        for _ in range(4):
            answers.append(client.get(f"{API}/search", params={"q": "grass" if number % 2 else "", "k": 50}))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
    client.post(f"{API}/index", json={})
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    *_, (name, report) = events(client.app.state.context.runs, ended)  # type: ignore[attr-defined]
    assert (name, report["added"]) == ("done", 6)
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)
    assert {len(answer.json()["hits"]) for answer in answers if answer.status_code == 200} <= set(range(5, 12))
    assert len(client.get(f"{API}/search").json()["hits"]) == 11


def test_too_much_at_once_is_told_to_come_back(client: TestClient) -> None:
    workers = client.app.state.context.searches  # type: ignore[attr-defined]
    taken = 0
    while workers._room.acquire(blocking=False):
        taken += 1
    answer = client.get(f"{API}/search")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", "1")
    for _ in range(taken):
        workers._room.release()
    assert client.get(f"{API}/search").status_code == 200
