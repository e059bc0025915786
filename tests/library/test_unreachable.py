"""Parts of a library on a server that do not answer: what a search finds without them, what it says, and when it ends.

Tables are locked by another connection, as a server does that is slow: whoever asks waits until its time is over.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from locked_tables import LONG, SECONDS, T, ended, locked, served_library
from samples import CLI

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import LibraryError, UnreachableError
from mmsearch.indexes import rows_alone
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.library.results import LibraryResult
from mmsearch.store import breaker, limit
from mmsearch.store.postgres import connection as postgres_connection
from mmsearch.store.postgres.store import PostgresStore


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, encoder: OnnxEncoder) -> Iterator[str]:
    with served_library(tmp_path_factory.mktemp("unreachable"), encoder) as url:
        yield url


@pytest.fixture
def library(address: str, settings: Settings, encoder: OnnxEncoder) -> Iterator[Library]:
    own = replace(settings, search_timeout=SECONDS, reranker="auto")
    with open_library(address, settings=own, encoder=encoder) as opened:
        assert len(opened.search("a cat that looks at us")) == 5  # models are loaded, and connections made
        yield opened


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is too large to be compared without its engine."""
    monkeypatch.setattr(rows_alone, "COMPARED", 1)


def names(result: LibraryResult) -> list[str]:
    return [Path(hit.path).name for hit in result]


def notes(result: LibraryResult) -> list[str]:
    return [note.code for note in result.notes]


@pytest.mark.usefixtures("many")
def test_without_its_engine_a_search_returns_what_words_find(address: str, library: Library) -> None:
    whole = library.search("a cat", k=5)
    assert (len(whole), whole.unreachable) == (5, frozenset())
    with locked(address, "vectors"):
        found = ended(lambda: library.search("a cat", k=5))
        assert (names(found), notes(found)) == (["cat.png"], ["vectors-unreachable"])
        assert found.unreachable == frozenset({"vectors"})
        assert found[0].score == whole[0].score  # its row comes from the store, and is compared as ever
        assert found.notes[0].startswith("only pictures about which these words are written were looked at: pgvector")
        assert found.notes[0].fields["engine"] == "pgvector"
        assert (found.generation, found.next_offset) == (whole.generation, None)
        nothing = ended(lambda: library.search("a submarine", k=5))
        assert (names(nothing), notes(nothing)[-1]) == ([], "vectors-unreachable")
        with pytest.raises(UnreachableError) as error:  # nothing else finds what a picture is like
            ended(lambda: library.search(Path(whole[0].path)))
        assert error.value.code == "vectors-unreachable"
        assert len(library.search("type:png")) == 4  # conditions need none of it
    library.engines.vectors._until = 0.0  # it was asked three times
    assert library.search("a cat", k=5) == whole


def test_few_pictures_are_compared_without_the_engine(address: str, library: Library) -> None:
    whole = library.search("a cat", k=5)
    with locked(address, "vectors"):
        found = ended(lambda: library.search("a cat", k=5))
    assert (names(found), found.notes, found.unreachable) == (names(whole), (), frozenset())


@pytest.mark.usefixtures("many")
def test_an_engine_that_failed_three_times_is_left_alone_and_then_tried(address: str, library: Library) -> None:
    seconds = [0.0]
    library.engines.vectors._clock = lambda: seconds[0]
    with locked(address, "vectors"):
        for _ in range(breaker.FAILURES):
            ended(lambda: library.search("a cat"))
        assert library.engines.vectors.state.open
        with psycopg.connect(address) as watching:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            assert watching.execute(waits).fetchone() == (0,)
        assert notes(library.search("a cat")) == ["vectors-unreachable"]
        state = library.status().engines
        assert [(one.part, one.reachable, one.open) for one in state] == [
            ("metadata", True, False), ("vectors", False, True), ("words", True, False), ("tokens", True, False),
        ]  # fmt: skip
        assert "raise search_timeout" in str(state[1].error)
    assert notes(library.search("a cat")) == ["vectors-unreachable"]  # it has its rest
    seconds[0] += breaker.REST
    assert notes(library.search("a cat")) == []
    assert [one.reachable for one in library.status().engines] == [True] * 4


def test_without_words_a_search_returns_what_vectors_find(address: str, library: Library) -> None:
    with locked(address, "words"):  # of words that were not asked for yet: others are kept
        found = ended(lambda: library.search("a motorcycle", k=5))
        assert (len(found), notes(found), sorted(found.unreachable)) == (5, ["words-unreachable"], ["words"])
        assert names(found)[0] == "motorcycle.png"
        assert found[0].reasons == ()
        with pytest.raises(UnreachableError) as error:  # a condition that nobody can tell
            ended(lambda: library.search('words:"a wheel"'))
        assert error.value.code == "words-unreachable"
    whole = library.search("a motorcycle", k=5)
    assert (whole.notes, names(whole)[0]) == ((), "motorcycle.png")
    assert whole[0].reasons == ("name: motorcycle",)


@pytest.mark.usefixtures("many")
def test_the_command_line_says_it_too(mmsearch: CLI, address: str) -> None:
    at = {"MMSEARCH_SEARCH_TIMEOUT": str(SECONDS), "MMSEARCH_DEVICE": "cpu"}
    with locked(address, "vectors"):
        found = mmsearch("query", "a cat", "--paths", "--library", address, **at)
        assert [Path(line).name for line in found.stdout.splitlines()] == ["cat.png"]
        assert "only pictures about which these words are written were looked at: pgvector does not" in found.stderr
        told = mmsearch("status", "--library", address, **at).stdout
        assert "PostgreSQL (metadata) answers" in told
        assert "pgvector (vectors) does not answer: library postgresql://" in told
        said = mmsearch("query", Path(found.stdout.strip()), "--library", address, check=1, **at)
        assert "the vectors of the library cannot be had, because pgvector does not answer" in said.stderr


def test_without_region_tokens_nothing_is_reranked(address: str, library: Library) -> None:
    whole = library.search("a cat that looks at us", k=5)
    assert [hit.first_stage is not None for hit in whole] == [True] * 5
    with locked(address, "regions"):
        for rerank in (None, True):
            found = ended(lambda rerank=rerank: library.search("a cat that looks at us", k=5, rerank=rerank))  # type: ignore[misc]
            assert (len(found), notes(found)) == (5, ["tokens-unreachable"])
            assert [hit.first_stage for hit in found] == [None] * 5
    assert library.search("a cat that looks at us", k=5) == whole


@pytest.mark.usefixtures("many")
def test_without_vectors_and_words_there_is_nothing(address: str, library: Library) -> None:
    with locked(address, "vectors"), locked(address, "words"), pytest.raises(UnreachableError) as error:
        ended(lambda: library.search("a rocket"))
    assert error.value.code == "vectors-unreachable"


def test_without_the_store_a_search_ends_with_an_error(address: str, library: Library) -> None:
    library.settings = replace(library.settings, search_timeout=0.2)
    with locked(address, "properties"):
        for _ in range(breaker.FAILURES):
            with pytest.raises(LibraryError, match="did not answer in the time that a search waits") as error:
                ended(lambda: library.search("a cat"))
            assert error.value.code == "search-timeout"
        with pytest.raises(LibraryError, match="raise search_timeout") as error:  # at once
            library.search("a cat")
        assert error.value.code == "server-away"
    library.engines.metadata._until = 0.0
    library.settings = replace(library.settings, search_timeout=SECONDS)
    assert len(library.search("a cat")) == 5


def test_a_search_without_a_limit_waits(address: str, library: Library, settings: Settings) -> None:
    own = replace(settings, search_timeout=0.0)
    with open_library(address, settings=own, encoder=library.encoder()) as patient:
        done = threading.Event()

        def search() -> None:
            assert notes(patient.search("a cat")) == []
            done.set()

        thread = threading.Thread(target=search, daemon=True)
        with locked(address, "vectors"), psycopg.connect(address, autocommit=True) as watching:
            thread.start()
            waits = "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
            waits += "WHERE NOT granted AND relname ~ '^vectors_'"
            while watching.execute(waits).fetchone() == (0,):
                assert thread.is_alive()
            assert not done.is_set()
        thread.join(LONG)
        assert done.is_set()


def test_a_server_process_that_keeps_silent_is_given_up(
    address: str, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose machine is gone: it keeps no ``statement_timeout`` of its own."""
    monkeypatch.setattr(postgres_connection, "GRACE", 0.1)
    assert isinstance(library.store, PostgresStore)
    library.store._engine.dispose()
    with library.store._reading() as connection:
        process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(LibraryError) as error, limit.limited(0.2):
            ended_in_context(library.store.generation)
        assert error.value.code == "search-timeout"
        assert len(ended(lambda: library.search("a cat"))) == 5  # by another connection
    finally:
        os.kill(process, signal.SIGCONT)


def ended_in_context(work: Callable[[], T]) -> T:
    from contextvars import copy_context

    context = copy_context()
    return ended(lambda: context.run(work))


def test_connections_that_broke_are_made_anew_within_a_search(address: str, library: Library) -> None:
    """As those to a server that gave way to another one."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len(library.search("a cat")) == 5
