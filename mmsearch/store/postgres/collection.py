"""What is noted in the library's database of the rows that an engine searches, whichever engine has them.

A table for each model and querybank has the ids that the engine holds; ``vector_collections`` has a line for each.  It
is a cache, as the index files of a folder are: it can be deleted, and is made anew from ``embeddings``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection

from mmsearch.errors import LibraryError
from mmsearch.indexes.index import FEW
from mmsearch.indexes.protocol import Neighbours
from mmsearch.types import Ids, Vectors

log = logging.getLogger(__name__)

Transaction = Callable[[], AbstractContextManager[Connection]]

AT_ONCE = 2_000  # rows that are added together
PATIENCE = "5s"  # that a change waits while the graph is built; then it is tried another time
EFS = (40, 80, 160, 320, 640, 1000)  # ef_search that are tried; pgvector takes no more
TUNED = 96  # queries: of every second one the nearest are compared for tuning, the others say what it found
GROWN = 2.0  # times the rows that it was tuned for, from which on it is tuned anew
SPARE = 8  # rows more than are wanted: engines compare with queries in less than float32
_LOCK = 3  # second number of the advisory lock of who changes a collection

_REGISTRY = """
CREATE TABLE IF NOT EXISTS vector_collections (
    name text PRIMARY KEY,
    fingerprint text NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    complete bigint NOT NULL DEFAULT -1,
    changed timestamptz NOT NULL DEFAULT now(),
    ef integer NOT NULL DEFAULT 0,
    recall real NOT NULL DEFAULT 1,
    asked real NOT NULL DEFAULT 0,
    tuned bigint NOT NULL DEFAULT 0
)
"""
_THERE = "SELECT to_regclass(quote_ident(current_schema()) || '.vector_collections') IS NOT NULL"
# Who was given the right to read the library before a table was made has none to read that one.
_READABLE = (
    "SELECT count(*) = 2 FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
    "AND relname IN ('vector_collections', %s) AND has_table_privilege(oid, 'SELECT')"
)
_COLUMNS = "version, rows, complete, ef, recall, asked, tuned, extract(epoch FROM clock_timestamp() - changed)::float8"
_STATE = f"SELECT {_COLUMNS} FROM vector_collections WHERE name = %s"
_CHANGED = (
    "UPDATE vector_collections SET version = version + 1, rows = rows + %s, complete = -1, changed = clock_timestamp() "
    f"WHERE name = %s RETURNING {_COLUMNS}"
)
_LEFT = "SELECT name FROM vector_collections WHERE fingerprint NOT IN (SELECT fingerprint FROM models)"


@dataclass(frozen=True)
class State:
    """What is noted of a collection."""

    version: int = -1  # grows with every change of its ids; -1 where it was not made yet
    rows: int = 0
    complete: int = -1  # generation of the store
    ef: int = 0  # ef_search that was tuned; 0 where there is no graph
    recall: float = 1.0
    asked: float = 0.0  # the recall that it was tuned for
    tuned: int = 0  # rows that it was tuned with
    age: float = 0.0  # seconds since the last change, when this was read


class NotedCollection(ABC):
    """A ``Collection`` of ``indexes/collection.py`` of a library in PostgreSQL; subclasses say where its rows are."""

    engine: str  # as ``kind`` has it

    def __init__(self, transaction: Transaction, name: str, fingerprint: str, dim: int) -> None:
        """``name`` tells it from others of the model with this ``fingerprint``; ``transaction`` gives connections."""
        self._transaction, self._name, self._fingerprint, self._dim = transaction, name, fingerprint, dim
        self._table = table_of(name)
        self._state = State()
        self._read_at = time.monotonic()
        self._ids: tuple[int, Ids] | None = None  # with the version of which they are
        self._stopped = False

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def kind(self) -> str:
        return f"{self.engine} {'hnsw' if self._state.ef else 'exact'}"

    @property
    def recall(self) -> float:
        return self._state.recall

    def ids(self) -> Ids:
        version = self._read().version
        if version < 0:
            return np.zeros(0, np.int64)
        if self._ids is None or self._ids[0] != version:
            with self._transaction() as connection:  # one string: several times faster than rows
                joined = connection.exec_driver_sql(f"SELECT string_agg(id::text, ',') FROM {self._table}").scalar()
            self._ids = version, np.sort(np.fromstring(joined or "", np.int64, sep=","))
        return self._ids[1]

    def ids_there(self) -> Ids:
        self._ids = None
        return self.ids()  # in most engines what is noted is what is there

    def reconcile(self) -> int:
        return 0

    def complete(self) -> int:
        return self._read().complete

    def _read(self) -> State:
        with self._transaction() as connection:
            row = None
            if connection.exec_driver_sql(_READABLE, (self._table,)).scalar():
                row = connection.exec_driver_sql(_STATE, (self._name,)).first()
        self._noted(State() if row is None else State(*row))
        return self._state

    def _noted(self, state: State) -> None:
        self._state, self._read_at = state, time.monotonic()

    def change(
        self, added: Ids, fetch: Callable[[Ids], Vectors], gone: Ids, told: Callable[[int], bool] = lambda _: True
    ) -> None:
        if self._read().version < 0:
            self._make()
        for start in range(0, len(gone), AT_ONCE):
            self._remove(gone[start : start + AT_ONCE])
        for start in range(0, len(added), AT_ONCE):
            block = added[start : start + AT_ONCE]
            self._add(block, fetch(block))
            if not told(min(start + AT_ONCE, len(added))):
                return

    @abstractmethod
    def _add(self, ids: Ids, rows: Vectors) -> None:
        """Add those of the rows that are not there."""

    @abstractmethod
    def _remove(self, ids: Ids) -> None: ...

    def _beside(self, connection: Connection) -> None:  # noqa: B027  # most engines keep rows elsewhere
        """Make what the table has beside the ids."""

    def _make(self) -> None:
        with self._transaction() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(current_schema()), %s)", (_LOCK,))
            connection.exec_driver_sql(_REGISTRY)
            connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {self._table} (id bigint PRIMARY KEY)")
            self._beside(connection)
            connection.exec_driver_sql(
                "INSERT INTO vector_collections (name, fingerprint) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (self._name, self._fingerprint),
            )
        self._read()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction, the only one that changes a collection of this library."""
        with self._transaction() as connection:
            connection.exec_driver_sql(
                "SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(hashtext(current_schema()), %s)",
                (PATIENCE, _LOCK),
            )
            yield connection

    def _there(self, connection: Connection, ids: Ids) -> set[int]:
        """Which of these it holds."""
        query = f"SELECT id FROM {self._table} WHERE id = ANY(%s::bigint[])"
        return {row[0] for row in connection.exec_driver_sql(query, (ids.tolist(),))}

    def _forget(self, connection: Connection, ids: Ids) -> None:
        """Take ids, and what stands beside them, out of the table."""
        query = f"DELETE FROM {self._table} WHERE id = ANY(%s::bigint[])"
        self._count(connection, -connection.exec_driver_sql(query, (ids.tolist(),)).rowcount)

    def _count(self, connection: Connection, more: int) -> None:
        """Note that so many rows are more, or fewer, in the transaction in which they are."""
        row = connection.exec_driver_sql(_CHANGED, (more, self._name)).first()
        if row is None:
            raise LibraryError(f"the collection {self._table} was deleted meanwhile; run the same command again")
        self._noted(State(*row))

    def note_complete(self, generation: int) -> None:
        with self._changing() as connection:
            connection.exec_driver_sql(
                "UPDATE vector_collections SET complete = %s WHERE name = %s AND version = %s",
                (generation, self._name, self._state.version),
            )
        self._read()

    def maintain(self, queries: Callable[[], Vectors], recall: float, told: Callable[[int, int], None]) -> None:
        state = self._read()
        self._drop_others()
        if state.rows <= FEW or recall >= 1 or not self._can_build():
            return
        self._stopped = False
        if not state.ef:
            self._build(state.rows, told)
        due = not state.ef or state.asked != np.float32(recall) or state.rows > GROWN * state.tuned
        if due and not self._stopped:
            self._tune(queries()[:TUNED], recall, state.rows)

    @abstractmethod
    def _can_build(self) -> bool: ...

    @abstractmethod
    def _build(self, rows: int, told: Callable[[int, int], None]) -> None:
        """Build the graph; ``told`` hears how many of the rows are in it."""

    def stop(self) -> None:
        self._stopped = True

    def _tune(self, queries: Vectors, recall: float, rows: int) -> None:
        """The least ef_search that finds enough, tried with every second query; the others say how much that is."""
        begun = time.monotonic()
        truth = self._truth(queries, 10)
        tried, others = slice(0, None, 2), slice(1, None, 2)
        for ef in EFS:
            self._state = replace(self._state, ef=ef)
            if self._found(queries[tried], truth[tried]) >= recall:
                break
        reached = self._found(queries[others], truth[others])
        with self._changing() as connection:
            connection.exec_driver_sql(
                "UPDATE vector_collections SET ef = %s, recall = %s, asked = %s, tuned = %s WHERE name = %s",
                (ef, reached, recall, rows, self._name),
            )
        log.info("ef_search %d finds %.3f of the nearest (%.1f s)", ef, reached, time.monotonic() - begun)
        self._read()

    def _truth(self, queries: Vectors, k: int) -> Ids:
        """The ``k`` nearest to each of (q, dim) queries, (q, k)."""
        return self.compared(queries, k).ids

    def _found(self, queries: Vectors, truth: Ids) -> float:
        pairs = zip(self._by_graph(queries, 10), truth, strict=True)
        return float(np.mean([np.isin(right[right >= 0], ids).mean() for ids, right in pairs]))

    @abstractmethod
    def _by_graph(self, queries: Vectors, k: int) -> list[Ids]:
        """The ``k`` nearest to each query by the graph, as far as it finds them."""

    @abstractmethod
    def nearest(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours: ...

    @abstractmethod
    def vectors(self, ids: Ids) -> Vectors: ...

    @abstractmethod
    def ping(self) -> None: ...

    @abstractmethod
    def compared(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours: ...

    def _drop_others(self) -> None:
        """Those of models that the library no longer has."""
        with self._changing() as connection:
            names = connection.exec_driver_sql(_LEFT).scalars().all() if self._noted_there(connection) else ()
            for name in names:
                self._drop(connection, str(name))

    def drop(self) -> None:
        with self._changing() as connection:
            if self._noted_there(connection):
                self._drop(connection, self._name)
        self._noted(State())
        self._ids = None

    def _noted_there(self, connection: Connection) -> bool:
        return bool(connection.exec_driver_sql(_THERE).scalar())

    def _drop(self, connection: Connection, name: str) -> None:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table_of(name)}")
        connection.exec_driver_sql("DELETE FROM vector_collections WHERE name = %s", (name,))


def table_of(name: str) -> str:
    """The name of the table of a collection."""
    return "vectors_" + hashlib.sha256(name.encode()).hexdigest()[:16]


def best(queries: Vectors, found: list[tuple[Ids, Vectors]], k: int) -> Neighbours:
    """The ``k`` best of what was found for each query, by the rows themselves."""
    ids = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    for place, (query, (numbers, rows)) in enumerate(zip(queries, found, strict=True)):
        near = rows @ query
        order = np.argsort(-near, kind="stable")[:k]
        ids[place, : len(order)], scores[place, : len(order)] = numbers[order], near[order]
    return Neighbours(ids, scores)


def rows_in_order(ids: Ids, found: Ids, rows: Vectors) -> Vectors:
    """The rows that were found, in the order of ``ids``.  Raises KeyError where one is lacking."""
    if not len(ids):
        return np.empty((0, rows.shape[1]), np.float32)
    order = np.argsort(found)
    places = np.searchsorted(found, ids, sorter=order) if len(found) else np.ones(len(ids), np.int64)
    if (places >= len(found)).any() or (found[order[places]] != ids).any():
        raise KeyError("the collection has no such id")
    return rows[order[places]]
