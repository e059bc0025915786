"""A small library that has something in each table, and what is in the tables of a library, read by itself.

As a program it moves a library and kills itself on the way, again and again: ``python moved_house.py POINT EVERY SOURCE
TARGET CACHE``.  Each run is a process that is killed (SIGKILL) when it comes to POINT for the EVERY-th time; the next
one goes on, until one is done.  It prints how many were killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from killing import Killing

from mmsearch.config import Settings
from mmsearch.encoders.protocol import Encoder
from mmsearch.store.moving import TABLES
from mmsearch.store.open import DATABASE
from mmsearch.types import Found

POINTS = ("reading a page", "before rows", "after rows", "after a note", "before a commit", "after a commit")
BLOCK = 4  # rows of a transaction


def make(folder: Path, encoder: Encoder) -> None:
    """``folder/photos``, and ``folder/library`` of them."""
    import films
    from PIL import Image
    from samples import five_photos
    from sounds import folder_of, sound

    from mmsearch.library.opening import open_library

    photos = five_photos(folder / "photos")
    shutil.copy(photos / "cat.png", photos / "trips" / "copy.png")
    shutil.copy(photos / "grass.png", photos / "gone.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "left out.gif").write_bytes(b"GIF89a")
    (photos / "story.mp4").write_bytes(films.film(films.photos()[:4]))
    (photos / "story.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\ntold from orbit\n", "utf-8")
    (photos / "cat.txt").write_text("Tom, asleep on the sofa\n", "utf-8")
    pages = [Image.fromarray(one) for one in films.photos()[4:6]]
    pages[0].save(photos / "scan.tif", save_all=True, append_images=pages[1:])
    folder_of(photos, {"song.flac": sound(LYRICS="[00:00.50]a purple giraffe"), "silent.wav": sound(".wav", hertz=200)})
    odd = os.fsencode(photos / "odd-") + b"\xff.png"  # a name that is no UTF-8
    shutil.copy(os.fsencode(photos / "cameraman.png"), odd)
    card = encoder.card.regions
    assert card is not None
    settings = replace(Settings(library=folder / "library", cache=folder / "cache"), device="cpu", batch=4)
    with open_library(folder / "library", settings=settings, encoder=encoder) as library:
        library.index(photos, exclude=["*.gif"], captions=True)
        (photos / "gone.png").unlink()
        library.index()
        library.tag_photos([photos / "trips", photos / "story.mp4"], add=["Trip", 'it\'s "50 %"'])
        store, model = library.store, library.models.active()
        ids = {path: one.id for path, one in store.files(str(photos), model).items()}
        with store.writing() as writer:
            found = {"dog": 0.9, "straße": 0.123456789}
            writer.put_tags("v", {one.item: found for one in store.pending_tags(model, "v")})
            for one in store.pending_text("engine", [str(photos)]):
                writer.put_text(one.item, "engine", "words read in it" if one.part else "")
                writer.put_speech(one.content, "ears", {one.item: "heard"} if one.part == 1 else {})
            other = writer.add_model("another", "def", 3, active=False)
            for one in store.pending_regions(model, card, [str(photos)], other)[:5]:
                vector = np.array([one.item, -0.0, 6e-8], np.float32)  # the last is subnormal in float16
                writer.put_regions(one.item, b"tokens", other, card, vector)
            # A file takes the place of one with tags, of which no other file has the content: they wait for it.
            where = str(photos / "trips" / "motorcycle.png")
            writer.move(ids[str(photos / "grass.png")], Found(where, 1, 1))
            writer.sweep()
    (folder / "library" / "searches.json").write_text(json.dumps({"searches": {"dogs": "a dog"}}))
    with closing(sqlite3.connect(folder / "library" / DATABASE)) as connection, connection:
        connection.execute("UPDATE contents SET content_identifier = 'A-1', latitude = -33.9, longitude = 0.1")


def columns(folder: Path) -> dict[str, list[str]]:
    """The columns of each table of a library in a folder, the key first in the order that rows are read in."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        return {table: [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")] for table in TABLES}


def in_folder(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a library in a folder."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        found = {
            table: sorted(connection.execute(f"SELECT {', '.join(map(quoted, names))} FROM {table}"), key=repr)
            for table, names in columns(folder).items()
        }
        found["words"] = sorted(connection.execute("SELECT rowid, * FROM words"))
        found["last ids"] = sorted(connection.execute("SELECT name, seq FROM sqlite_sequence"))
    return found


def on_server(url: str, names: dict[str, list[str]]) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a library in PostgreSQL, as those of a folder; without what full-text search makes of them."""
    import psycopg

    with psycopg.connect(url) as connection:
        found = {}
        for table, own in names.items():
            if table == "words":
                continue
            asked = ["halfvec_send(vector)" if name == "vector" else quoted(name) for name in own]
            rows = connection.execute(f"SELECT {', '.join(asked)} FROM {table}").fetchall()
            found[table] = sorted((_as_in_sqlite(row, own) for row in rows), key=repr)
        return found


def quoted(name: str) -> str:
    return f'"{name}"'


def _as_in_sqlite(row: tuple[Any, ...], names: list[str]) -> tuple[Any, ...]:
    values = dict(zip(names, row, strict=True))
    if "vector" in values:
        sent = values["vector"]
        values["vector"] = b"" if sent is None else np.frombuffer(sent, ">f2", offset=4).astype("<f2").tobytes()
    return tuple(int(value) if isinstance(value, bool) else value for value in values.values())


def main() -> None:
    point, every, source, target, cache = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    assert point in POINTS, point
    prepare()
    killed = 0
    while True:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            run(point, every, source, target, Path(cache))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(killed)
            sys.exit(os.waitstatus_to_exitcode(status))
        assert os.WTERMSIG(status) == signal.SIGKILL
        killed += 1
        assert killed < 1000


def prepare() -> None:
    """Import what each run needs."""
    from mmsearch.cluster import moving
    from mmsearch.library import collection_search, opening  # noqa: F401
    from mmsearch.store.postgres import store, table_copy  # noqa: F401
    from mmsearch.store.sqlite import store as embedded  # noqa: F401
    from mmsearch.store.sqlite import table_copy as its  # noqa: F401

    vars(moving).update(AT_ONCE=BLOCK, BULKY={})


def run(point: str, every: int, source: str, target: str, cache: Path) -> None:
    from sqlalchemy.engine.default import DefaultDialect

    from mmsearch.cluster.moving import move
    from mmsearch.library.opening import open_library
    from mmsearch.store.sql.table_copy import TableAdder, TableRows

    killing = Killing(point, every)
    settings = replace(Settings(cache=cache), device="cpu", vectors="auto")
    with (
        open_library(source, settings=settings, create=False) as own,
        open_library(target, settings=settings) as other,
    ):
        killing.around(TableRows, "page", "reading a page")
        killing.around(TableAdder, "add", "before rows", "after rows")
        killing.around(TableAdder, "note", after="after a note")
        killing.around(DefaultDialect, "do_commit", "before a commit", "after a commit")
        move(own, other, queries=0)


if __name__ == "__main__":
    main()
