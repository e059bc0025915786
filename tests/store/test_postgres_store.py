"""What only the driver for PostgreSQL has: addresses, rights, a server that goes away, its schema."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import psycopg
import pytest
from postgres_server import forget, open_postgres, url_of

from mmsearch.errors import LibraryBusyError, LibraryError, NewerLibraryError, NoModelError
from mmsearch.store.local_clock import local_clock
from mmsearch.store.open import server_state
from mmsearch.store.postgres import schema
from mmsearch.store.postgres.address import Address
from mmsearch.store.postgres.store import PostgresStore
from mmsearch.store.postgres.terms import Terms, in_order, lexemes, matching
from mmsearch.store.sql.tables import metadata
from mmsearch.store.types import StoredModel
from mmsearch.types import Decoded, Exif, Found, Part

SSL_REQUEST = (80877103).to_bytes(4, "big")  # the protocol's number for "may we talk TLS?"
PICTURE = Decoded(np.zeros((9, 9, 3), np.uint8), 40, 30, "jpeg", Exif(camera="Ca\0non"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PostgresStore]:
    with open_postgres(tmp_path) as opened:
        yield opened
    forget(tmp_path)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables."""
    yield url_of(tmp_path, empty=True)
    forget(tmp_path)


def add(store: PostgresStore, path: str) -> None:
    with store.writing() as writer:
        model = store.model() or writer.add_model("m", "abc", 4, active=True)
        writer.place(Found(path, 10, 5), writer.put(path.encode(), PICTURE, np.ones(4, np.float32), model))


def model_of(store: PostgresStore) -> StoredModel:
    model = store.model()
    assert model is not None
    return model


def caught(url: str, cache: Path, create: bool = True) -> LibraryError:
    with pytest.raises(LibraryError) as error:
        PostgresStore(url, cache, create=create)
    assert "secret" not in str(error.value) + repr(error.value.__cause__) + repr(error.value.__context__)
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return error.value


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host:5433/photos?sslmode=require", "postgresql://me@host:5433/photos"),
        ("postgres://host/photos?password=secret", "postgresql://host/photos"),
        ("postgresql://me@/photos?host=%2Fvar%2Frun", "postgresql://me@/photos?host=/var/run"),
        ("postgresql://me:secret@a,b:5433/photos?target_session_attrs=any", "postgresql://me@a,b:5433/photos"),
        ("postgresql://a:1,[::1]:2/photos?password=secret", "postgresql://a:1,[::1]:2/photos"),
        ("postgresql://me:secret@/db?host=%2Fa,%2Fb", "postgresql://me@/db?host=/a,/b"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert str(Address(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:se@cret@host/db",
        "postgresql://me:secret@host",
        "postgresql://h/db?secret=1",
        "postgresql://me:12/cret@host",
        "postgresql://me:12/cret@host/db",
        "postgresql://me:cret/db",
    ],
)
def test_what_is_no_address_is_not_repeated(url: str) -> None:
    with pytest.raises(LibraryError, match=r"wanted is postgresql://user@host/database") as error:
        Address(url)
    assert error.value.code == "address"
    assert "cret" not in str(error.value)


def test_nobody_answers(tmp_path: Path) -> None:
    error = caught("postgresql://me:secret@127.0.0.1:1/photos", tmp_path)
    assert (error.code, str(error).partition(":")[0]) == ("server-away", "library postgresql")
    assert "nobody answers there" in str(error)
    assert list(tmp_path.iterdir()) == []


def test_databases_that_cannot_be_used(empty: str, tmp_path: Path) -> None:
    assert caught(empty.replace("library_", "none_"), tmp_path).code == "no-database"
    assert caught(empty.replace("postgres@", "nobody:secret@"), tmp_path).code == "no-entry"
    assert caught(empty.replace("postgres@", "guarded:secret@"), tmp_path).code == "no-entry"
    assert caught(empty.replace("postgres@", "guarded@"), tmp_path).code == "no-entry"
    assert isinstance(caught(empty, tmp_path, create=False), NoModelError)
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS visitor")
        connection.execute("CREATE ROLE visitor LOGIN")
        visitor = empty.replace("postgres@", "visitor@")
        assert caught(visitor, tmp_path).code in ("no-rights", "no-pgvector")
        connection.execute("CREATE EXTENSION vector")
        assert caught(visitor, tmp_path).code == "no-rights"
        connection.execute("CREATE TABLE theirs (id int)")
    error = caught(empty, tmp_path)
    assert (error.code, "'theirs'" in str(error)) == ("foreign-tables", True)


def test_who_may_only_read_searches(store: PostgresStore, tmp_path: Path) -> None:
    add(store, "/a")
    url = url_of(tmp_path)
    assert server_state(url).unwritable is None
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        reader = url.replace("postgres@", "reader@")
        with PostgresStore(reader, tmp_path) as opened:
            assert opened.searchable(model_of(opened)).tolist() == [1]
            with pytest.raises(LibraryError) as error:
                add(opened, "/b")
            assert error.value.code == "no-rights"
        assert str(server_state(reader).unwritable).startswith("this user may not write the table ")
        connection.execute("REVOKE SELECT ON photos FROM reader")
        assert server_state(reader).unwritable == "this user may not read the table photos"
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")
        database = connection.info.dbname
        connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with PostgresStore(url, tmp_path) as opened:
        assert opened.counts().photos == 1
        with pytest.raises(LibraryError) as error:
            add(opened, "/b")
    assert error.value.code == "server-read-only"
    state = server_state(url)
    assert (state.made, state.unwritable) == (True, "the server, or this user there, only reads")
    assert "hunter" not in state.place


def test_a_server_is_looked_at_and_left_as_it_is(empty: str) -> None:
    state = server_state(empty)
    assert (state.made, state.unwritable, state.place) == (False, None, str(Address(empty)))
    with psycopg.connect(empty) as connection:
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert connection.execute(tables).fetchone() == (0,)
        assert state.version == connection.info.parameter_status("server_version")


def test_old_servers_are_refused() -> None:
    schema.check_version("place", 130_000)
    with pytest.raises(
        LibraryError, match="library place: the server is PostgreSQL 12; wanted is 13 or newer"
    ) as error:
        schema.check_version("place", 120_022)
    assert error.value.code == "server-too-old"


def test_options_of_an_address_are_handed_on(tmp_path: Path) -> None:
    """A server that has no TLS: libpq asks for it, as the address says."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    if connection.recv(8)[4:] == SSL_REQUEST:
                        connection.sendall(b"N")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        url = f"postgresql://me:secret@127.0.0.1:{listening.getsockname()[1]}/photos?gssencmode=disable&sslmode="
        for mode in ("require", "verify-full"):
            error = caught(url + mode, tmp_path)
            assert (error.code, "server does not support SSL" in str(error)) == ("no-tls", True)
    error = caught("postgresql://me:secret@127.0.0.1:1/photos?sslmode=nonsense", tmp_path)
    assert "nonsense" in str(error)


def test_who_comes_second_is_told_who_writes(store: PostgresStore, tmp_path: Path) -> None:
    holder = f"mmsearch on {socket.gethostname()}, process {os.getpid()}"
    with open_postgres(tmp_path) as other, store.lock(), pytest.raises(LibraryBusyError) as error, other.lock():
        pass
    assert str(error.value) == f"{holder} is writing to the library {store.address}; wait until it is done"


def test_a_newer_library_is_refused(store: PostgresStore, tmp_path: Path) -> None:
    with psycopg.connect(url_of(tmp_path), autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
    with pytest.raises(NewerLibraryError, match="'999'"):
        open_postgres(tmp_path)


def test_schemas_of_one_database_are_libraries_of_their_own(empty: str, tmp_path: Path) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE SCHEMA one")
        connection.execute("CREATE SCHEMA two")
    urls = [f"{empty}&options={quote(f'-csearch_path={name},public')}" for name in ("one", "two")]
    with PostgresStore(urls[0], tmp_path) as one, PostgresStore(urls[1], tmp_path) as two:
        add(one, "/a")
        with one.lock(), two.lock():
            add(two, "/b")
        assert (one.counts().photos, two.counts().photos) == (1, 1)
        assert one.identity() != two.identity()
        assert [one.folder.name, two.folder.name] == [one.identity(), two.identity()]


def test_tables_are_those_that_the_statements_know(store: PostgresStore, tmp_path: Path) -> None:
    query = "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = %s"
    with psycopg.connect(url_of(tmp_path), autocommit=True) as connection:
        for name, table in metadata.tables.items():
            found: dict[str, str] = dict(connection.execute(query, (name,)).fetchall())
            if name == "photos":
                assert found.pop("folder") == "YES"
            if name == "embeddings":
                assert found.pop("vector") == "YES"  # of a sound there is none
                found["vector"] = "NO"
            assert found == {column.name: "YES" if column.nullable else "NO" for column in table.c}, name
    versions = Path(schema.__file__).parent / "migrations" / "versions"
    assert max(file.name[1:4] for file in versions.glob("m*.py")) == schema.HEAD


def test_a_connection_that_breaks(store: PostgresStore, tmp_path: Path) -> None:
    add(store, "/a")

    def end_all() -> None:
        with psycopg.connect(url_of(tmp_path), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def write_while_it_ends() -> None:
        with store.writing() as writer:
            writer.add_root("/lost")
            end_all()
            writer.add_root("/never")

    with pytest.raises(LibraryError, match="the connection broke") as error:
        write_while_it_ends()
    assert error.value.code == "server-away"
    assert (store.roots(), store.counts().photos) == ([], 1)

    def write_without_the_lock() -> None:
        with store.lock():
            end_all()
            add(store, "/b")

    with pytest.raises(LibraryError, match="the connection broke"):
        write_without_the_lock()
    add(store, "/c")
    assert sorted(store.files("/", model_of(store))) == ["/a", "/c"]


def test_after_closing_nothing_is_asked(store: PostgresStore) -> None:
    store.close()
    with pytest.raises(LibraryError, match="is closed; open it again") as error:
        store.counts()
    assert error.value.code == "library-closed"


def test_the_character_0_is_left_out(store: PostgresStore) -> None:
    add(store, "/a")
    [[photo]] = store.photos(store.searchable(model_of(store)).tolist()).values()
    assert photo.exif.camera == "Canon"


def test_words_are_those_of_fts5() -> None:
    terms = Terms()
    assert terms.of([["receipts on-line", "", "", "", "a b"]]) == [
        {"name": ["receipt", "on", "line"], "description": [], "caption": [], "ocr": [], "tags": ["a", "b"]}
    ]
    assert terms.phrase('"green grocers" *') == (("green", "grocer"), True)
    assert terms.phrase('"^"') == ((), False)
    assert matching(("green", "groc"), True, "ocr") == "'ogreen' & 'ogroc':*"
    assert (in_order(("a", "b"), True), in_order(("a", "b"), False)) == ("% a b%", "% a b %")
    assert lexemes({"name": ["a", "b", "a"], "tags": ["a"]}) == ["na", "nb", "ta"]
    assert len(lexemes({"name": [f"{n:0400}" for n in range(5000)]})) == 900_000 // 405


def test_the_clock_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    if not hasattr(time, "tzset"):
        pytest.skip("the time zone of a process cannot be set here")
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Europe/Berlin")
        time.tzset()
        clock = local_clock()
        at = clock.bounds.index(1711846800)  # 2024-03-31 01:00 UTC
        assert (clock.offsets[at], clock.offsets[at + 1]) == (3600, 7200)
    time.tzset()
    assert os.environ.get("TZ") is None or local_clock().offsets


def test_a_film_whose_first_vector_is_lost_is_found_by_its_others(store: PostgresStore, tmp_path: Path) -> None:
    film = replace(PICTURE, parts=(Part(PICTURE.pixels, 0, 1000, 0), Part(PICTURE.pixels, 1000, 2000, 1000)))
    with store.writing() as writer:
        model = writer.add_model("m", "abc", 4, active=True)
        writer.place(Found("/film.mp4", 10, 5), writer.put_parts(b"film", film, np.eye(2, 4, dtype=np.float32), model))
    add(store, "/film.jpg")
    first, second, _ = store.searchable(model).tolist()
    (photo,) = store.photos([first])[first]
    with psycopg.connect(url_of(tmp_path), autocommit=True) as connection:
        connection.execute("DELETE FROM embeddings WHERE id = %s", (first,))
    assert store.photos_by_id([photo.id], model) == {photo.id: store.photos([second])[second][0]}
    assert [one.path for one in store.beside(["/film.jpg"])["/film.jpg"]] == ["/film.mp4"]
