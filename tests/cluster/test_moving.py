"""Moving house: a library goes from a folder into PostgreSQL and back, and nothing of it is lost, whatever happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import moved_house
import numpy as np
import pytest
from forked_runs import ForkedRuns
from postgres_server import forget, open_postgres, url_of
from shared import made_once

from mmsearch.cluster import moving, verification
from mmsearch.cluster.moving import move
from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryError, ModelError, TransferError
from mmsearch.language.prompts import scenes
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.store.moving import TABLES
from mmsearch.types import Found, Progress

pytest.importorskip("av")

QUERIES = 24  # that both are asked: each takes some hundredths of a second


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Path:
    """The folder of a library with something in each table, and of its photos; no test changes it."""
    return made_once(tmp_path_factory, "house", partial(moved_house.make, encoder=encoder))


@pytest.fixture
def source(house: Path, tmp_path: Path) -> Path:
    """A library of one's own."""
    shutil.copytree(house / "library", tmp_path / "library")
    return tmp_path / "library"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a library that is empty."""
    yield url_of(tmp_path)
    forget(tmp_path)


class Opener:
    """Opens libraries with the settings and the encoder of the tests."""

    def __init__(self, settings: Settings, encoder: OnnxEncoder) -> None:
        self.settings, self.encoder = settings, encoder

    def __call__(self, place: str | Path, **changes: str) -> Library:
        return open_library(place, settings=replace(self.settings, **changes), encoder=self.encoder)  # type: ignore[arg-type]


@pytest.fixture
def opened(settings: Settings, encoder: OnnxEncoder) -> Opener:
    return Opener(settings, encoder)


def test_there_and_back_all_tables_are_the_same(source: Path, url: str, opened: Opener, tmp_path: Path) -> None:
    before = moved_house.in_folder(source)
    assert [table for table in TABLES if not before[table]] == []
    told: list[Progress] = []
    with opened(source) as library, opened(url) as server, opened(tmp_path / "back") as back:
        there = move(library, server, queries=QUERIES, progress=told.append)
        assert (there.verified.way, there.verified.compared, there.verified.differences) == ("queries", QUERIES, ())
        assert there.copied == there.rows == sum(len(rows) for name, rows in before.items() if name in TABLES)
        assert [one.done for one in told if one.step == "rows"][-1] == there.rows
        assert there.files[0] == "searches.json"
        assert (server.folder / "searches.json").read_text() == (source / "searches.json").read_text()
        assert server.store.identity() != library.store.identity()
        assert server.status().photos == library.status().photos == there.photos > 5
        assert server.store.failures() == library.store.failures() != []
        again = move(server, back, queries=QUERIES)
        assert (again.copied, again.verified.differences) == (there.rows, ())
        assert back.verify(deep=True) == library.verify(deep=True)
    on_server = moved_house.on_server(url, moved_house.columns(source))
    assert on_server == {name: rows for name, rows in before.items() if name in on_server}
    assert set(on_server) == set(TABLES) - {"words"}
    assert moved_house.in_folder(tmp_path / "back") == before


def test_ids_that_were_handed_out_are_not_used_again(source: Path, url: str, opened: Opener, tmp_path: Path) -> None:
    with opened(source) as library, opened(url) as server, opened(tmp_path / "back") as back:
        with library.store.writing() as writer:  # the newest of each table go
            writer.place(Found("/new", 1, 1), next(iter(library.store.contents(library.models.active()).values())))
        newest = library.store.files("/new", library.models.active())["/new"].id
        library.remove("/new")
        move(library, server, queries=0)
        move(server, back, queries=0)
        for other in (server, back):
            with other.store.writing() as writer:
                content = next(iter(other.store.contents(other.models.active()).values()))
                writer.place(Found("/newer", 1, 1), content)
            assert other.store.files("/newer", other.models.active())["/newer"].id == newest + 1


@pytest.mark.slow
@pytest.mark.parametrize("point", moved_house.POINTS)
@pytest.mark.parametrize("way", ["to the server", "to a folder"])
def test_kills_lose_nothing_and_double_nothing(
    way: str, point: str, source: Path, url: str, opened: Opener, forked: ForkedRuns, tmp_path: Path
) -> None:
    target: str | Path = url
    own: str | Path = source
    if way == "to a folder":
        with opened(source) as library, opened(url) as server:
            move(library, server, queries=0)
        own, target = url, tmp_path / "back"
    arguments = [point, "11", str(own), str(target), str(tmp_path / "cache")]
    done = forked.program("moved_house", arguments, os.environ)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    before = moved_house.in_folder(source)
    if way == "to a folder":
        assert moved_house.in_folder(tmp_path / "back") == before
    else:
        on_server = moved_house.on_server(url, moved_house.columns(source))
        assert on_server == {name: rows for name, rows in before.items() if name in on_server}
    with opened(own) as library, opened(target) as other:
        report = move(library, other, queries=8)
        assert (report.copied, report.verified.differences) == (0, ())


def interrupted(monkeypatch: pytest.MonkeyPatch, library: Library, server: Library, table: str) -> None:
    """A copy that Ctrl-C ends before the rows of a table."""
    from mmsearch.store.sql.table_copy import TableAdder

    whole = TableAdder.add

    def stop(self: TableAdder, name: str, rows: object) -> None:
        if name == table:
            raise KeyboardInterrupt
        whole(self, name, rows)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(TableAdder, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            move(library, server, queries=0)


def test_an_unfinished_copy_is_not_searched_and_goes_on(
    source: Path, url: str, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(source) as library, opened(url) as server:
        interrupted(monkeypatch, library, server, "tags")
        assert server.store.model() is None
        with pytest.raises(TransferError, match="is an unfinished copy itself"):
            move(server, library, queries=0)
        report = move(library, server, queries=0)
        assert 0 < report.copied < report.rows
        assert report.verified.differences == ()
        assert (server.store.model(), report.verified.way) == (library.store.model(), "counts")


def test_a_source_that_changed_between_two_runs_is_copied_anew(
    source: Path, url: str, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(source) as library, opened(url) as server:
        interrupted(monkeypatch, library, server, "sidecars")
        library.tag_photos([next(iter(library.search("sort:name"))).photo.id], add=["Late"])
        report = move(library, server, queries=QUERIES)
        assert (report.copied, report.verified.differences) == (report.rows, ())
        assert server.store.tag_counts()["Late"] == 1
        assert "Trip" in server.store.tag_counts()


def test_who_writes_meanwhile_does_no_harm(
    source: Path, url: str, opened: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(moving, "AT_ONCE", 4)
    before = moved_house.in_folder(source)
    with opened(source) as library, opened(url) as server, opened(source) as other, opened(tmp_path / "back") as back:

        def write(step: Progress) -> None:
            if step.step == "rows" and step.done % 8 == 0:
                with other.store.writing() as writer:
                    writer.place(Found(f"/new/{step.done}", 1, 1), 1)
                    writer.miss([1])

        report = move(library, server, queries=QUERIES, progress=write)
        assert (report.verified.way, report.verified.differences) == ("rows", ())
        assert [note.code for note in report.notes] == ["rows-compared"]
        assert len(library.store.existing_paths(["/new/8"])) == 1
        move(server, back, queries=0)
        with pytest.raises(TransferError, match="which has been written to since"):
            move(library, server, queries=0)
    assert moved_house.in_folder(tmp_path / "back") == before


def test_a_target_that_holds_something_else_is_refused(
    source: Path, url: str, opened: Opener, tmp_path: Path, photos: Path
) -> None:
    with opened(source) as library, opened(url) as server, opened(tmp_path / "other") as other:
        with pytest.raises(TransferError, match="are the same library"):
            move(library, library)
        other.index(photos)
        with pytest.raises(TransferError, match="holds something else already") as error:
            move(library, other)
        assert error.value.code == "target-in-use"
        move(library, server, queries=0)
        assert move(library, server, queries=0).copied == 0
        with pytest.raises(TransferError, match="a copy of another library"):
            move(other, server)
        server.tag_photos([next(iter(server.search("sort:name"))).photo.id], add=["Mine"])
        with pytest.raises(TransferError, match=r"holds a copy of .* and has been written to since"):
            move(library, server)
        assert server.store.tag_counts()["Mine"] == 1


def test_rows_that_do_not_fit_together_are_told(source: Path, url: str, opened: Opener) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(source / "library.sqlite")) as connection, connection:
        connection.execute("INSERT INTO captions VALUES (99999, 'r', 'of nothing', 0.5)")
    with opened(source) as library, opened(url) as server:
        with pytest.raises(LibraryError, match="rows of the table 'captions' do not fit into the library") as error:
            move(library, server)
        assert error.value.code == "unfit-rows"
        assert server.store.model() is None


def test_without_the_encoder_all_rows_are_compared(
    source: Path, url: str, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(source) as library, opened(url) as server:

        def none(*_: object) -> OnnxEncoder:
            raise ModelError("its weights are not here")

        monkeypatch.setattr(library.models, "encoder", none)
        report = move(library, server, queries=QUERIES)
        assert (report.verified.way, report.verified.compared) == ("rows", report.rows)
        assert report.notes[-1] == "all rows were compared, and no queries: its weights are not here"


def test_differences_are_told_with_the_query(source: Path, url: str, opened: Opener, tmp_path: Path) -> None:
    with opened(source) as library, opened(url) as server:
        move(library, server, queries=0)
        model = library.models.active()
        with open_postgres(tmp_path) as store, store._transaction() as connection:
            connection.exec_driver_sql(
                "UPDATE embeddings SET vector = other.vector FROM embeddings AS other "
                "WHERE embeddings.vector IS NOT NULL AND other.id = "
                "(SELECT max(id) FROM embeddings WHERE model_id = %s AND vector IS NOT NULL) "
                "AND embeddings.model_id = %s",
                (model.id, model.id),
            )
            connection.exec_driver_sql("DELETE FROM captions WHERE item_id = (SELECT min(item_id) FROM captions)")
        with library.store.copied_from() as rows:
            seen = verification.verify(library, server, rows, QUERIES)
            assert seen.way == "queries"
            assert seen.differences[0].query is None
            assert seen.differences[0].what.startswith("the table 'captions' has ")
            assert {one.query for one in seen.differences[1:]} <= set(verification.drawn(library.store, model, QUERIES))
            assert any("in the copy" in one.what for one in seen.differences[1:])
            with server.store.copied_from() as copied:
                _, unlike = verification._rows(rows, copied, "", None)
        assert [one.what.split("'")[1] for one in unlike] == ["embeddings", "captions"]


def test_queries_are_drawn_of_the_library_and_always_the_same(source: Path, opened: Opener) -> None:
    with opened(source) as library:
        model = library.models.active()
        drawn = verification.drawn(library.store, model, 40)
        assert drawn == verification.drawn(library.store, model, 40)
        assert len(set(drawn)) == 40
        assert {"motorcycle", "straße", "Tom asleep on the sofa"} <= set(drawn)
        assert drawn[-1] in scenes()
        assert np.all([query.strip() for query in drawn])
