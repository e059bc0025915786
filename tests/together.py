"""Threads that search a library while another process indexes it, and what must hold of every answer."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from drawn_photos import Folder
from forked_runs import ForkedRuns
from scores import score

from mmsearch.config import Settings
from mmsearch.encoders.protocol import Encoder
from mmsearch.library.opening import open_library

QUERIES = ("a dog", "red and green squares", "a photo", "something blue", "IMG")


def together(
    place: Path, settings: Settings, encoder: Encoder, forked: ForkedRuns, *, seconds: float, threads: int
) -> dict[str, Any]:
    """Search from several threads for so long; the folder changes and is indexed by a process after another.

    No search may fail; k hits must come while there are so many; hits must be different, in order, and files that were
    in the folder at some time; and what was there all the time must be among the hits of a search for everything.
    """
    folder = Folder(place / "photos")
    folder.grow(60)
    errors: list[str] = []
    searches = [0] * threads
    ever = {str(file) for file in folder.files()}
    kept = set(ever)  # these stay
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        library.index(folder.place)
        ended = threading.Event()

        def search(number: int) -> None:
            while not ended.is_set():
                try:
                    k = 10 if searches[number] % 4 else 1000
                    hits = library.search(QUERIES[searches[number] % len(QUERIES)], k, rerank=False)
                    paths = [hit.path for hit in hits]
                    if len(set(paths)) != len(paths):
                        errors.append("a file came twice")
                    if [score(hit) for hit in hits] != sorted((score(hit) for hit in hits), reverse=True):
                        errors.append("hits are not in order")
                    if not set(paths) <= ever:
                        errors.append(f"unknown files: {sorted(set(paths) - ever)[:2]}")
                    if len(paths) < min(k, len(kept)) or (k == 1000 and not kept <= set(paths)):
                        errors.append(f"only {len(paths)} of {k} hits, {len(kept - set(paths))} files not found")
                except Exception as error:
                    errors.append(f"{type(error).__name__}: {error}")
                searches[number] += 1

        workers = [threading.Thread(target=search, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        runs = 0
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end or not runs:
                before = set(folder.files())
                folder.grow(20)
                for file in sorted(set(folder.files()) - before):
                    ever.add(str(file))
                ours = [file for file in folder.files() if str(file) not in kept]
                for file in ours[: len(ours) // 3]:
                    file.unlink()
                runs += _indexed(forked, place, settings, errors)
        finally:
            ended.set()
            for worker in workers:
                worker.join()
        if damages := library.verify(deep=True):
            errors.append(f"afterwards: {damages[:3]}")
        photos = library.status().photos
    with sqlite3.connect(settings.library / "library.sqlite") as connection:
        (stored,) = connection.execute("SELECT count(*) FROM photos WHERE state = 'ok'").fetchone()
    connection.close()
    if photos != stored or photos != len(folder.files()):
        errors.append(f"{photos} photos, {stored} stored, {len(folder.files())} in the folder")
    return {"searches": sum(searches), "runs": runs, "photos": photos, "errors": errors}


def _indexed(forked: ForkedRuns, place: Path, settings: Settings, errors: list[str]) -> int:
    command = ["index", str(place / "photos"), "--no-regions", "--library", str(settings.library)]
    done = forked("none", 0, command, {**os.environ, "MMSEARCH_BATCH": "4", "MMSEARCH_OFFLINE": "1"})
    if done.returncode:
        errors.append(f"a run ended with {done.returncode}: {done.stderr[-300:]}")
    return 1
