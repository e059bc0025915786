"""A library from before there were films opens, and its photos are not encoded again; its TIFFs keep one page."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from older_schema import write_schema
from PIL import Image

from mmsearch.config import Settings
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.types import Pixels, Regions, Vectors


class Counting(OnnxEncoder):
    """The embedded model; how many pictures it was given."""

    pictures = 0

    def encode_images(self, pixels: Pixels) -> Vectors:
        self.pictures += len(pixels)
        return super().encode_images(pixels)

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        self.pictures += len(pixels)
        return super().encode_pictures(pixels)


def as_before(new: Path, old: Path) -> None:
    """What a library holds, in a file of the schema that was there before films, 010."""
    write_schema(old, "010")
    with closing(sqlite3.connect(old)) as base, base:
        base.execute("PRAGMA foreign_keys = OFF")
        base.execute("ATTACH ? AS new", (str(new),))
        tables = "SELECT name FROM {}.sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"
        theirs, ours = ({name for (name,) in base.execute(tables.format(one))} for one in ("new", "main"))
        for table in sorted(name for name in theirs & ours if not name.startswith(("alembic", "words", "sqlite_"))):
            columns = [
                {row[1] for row in base.execute(f"PRAGMA {schema}.table_info({table})")} for schema in ("new", "main")
            ]
            both = ", ".join(f'"{name}"' for name in sorted(columns[0] & columns[1]))
            base.execute(f"DELETE FROM main.{table}")
            base.execute(f"INSERT INTO main.{table} ({both}) SELECT {both} FROM new.{table}")
        words = ", ".join(row[1] for row in base.execute("PRAGMA main.table_info(words)"))
        base.execute(f"INSERT INTO main.words (rowid, {words}) SELECT rowid, {words} FROM new.words")


@pytest.fixture
def library_of_then(library: Library, photos: Path, settings: Settings) -> Settings:
    """Of five photos and the first page of a TIFF of two."""
    page = Image.open(photos / "cat.png").convert("RGB").resize((90, 60))
    page.save(photos / "pages.tif", save_all=True, append_images=[page.rotate(180)])
    library.index(photos)
    library.close()
    then = settings.library.with_name("then")
    then.mkdir()
    as_before(settings.library / "library.sqlite", then / "library.sqlite")
    with closing(sqlite3.connect(then / "library.sqlite")) as base, base:  # of a TIFF there was the first page alone
        for table in ("embeddings", "regions"):
            base.execute(f"DELETE FROM {table} WHERE item_id IN (SELECT id FROM items WHERE part > 0)")
        assert base.execute("DELETE FROM items WHERE part > 0").rowcount == 1
    return replace(settings, library=then)


@pytest.fixture
def counting() -> Counting:
    return Counting(EMBEDDED)


def test_photos_of_a_library_from_before_films_are_not_encoded(
    library_of_then: Settings, counting: Counting, photos: Path
) -> None:
    with open_library(library_of_then.library, settings=library_of_then, encoder=counting) as library:
        assert library.status().photos == 6
        report = library.index(photos)
        assert (report.added, report.unchanged, counting.pictures) == (0, 6, 0)
        assert library.verify(deep=True) == []
        best = library.search("a cat", k=1)[0]
        assert (Path(best.path).name, best.moments) in {("cat.png", ()), ("pages.tif", ())}
        assert counting.pictures == 0


def test_a_tiff_from_before_films_gets_its_pages_when_it_is_removed_and_indexed(
    library_of_then: Settings, counting: Counting, photos: Path
) -> None:
    with open_library(library_of_then.library, settings=library_of_then, encoder=counting) as library:
        os.utime(photos / "pages.tif", ns=(1, 1))
        assert (library.index(photos).added, counting.pictures) == (0, 0)  # its content is known: one page, as before
        library.remove([photos / "pages.tif"])
        assert (library.index(photos).added, counting.pictures) == (1, 2)
