"""The rows that pgvector searches: a table for each model and querybank, made of the vectors and their hubness.

It is a cache, as the index files of a folder are: it can be deleted, and is made anew from ``embeddings``.  What there
is of it is noted in ``vector_collections``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from mmsearch.errors import LibraryError
from mmsearch.indexes.index import FEW, LARGE
from mmsearch.indexes.protocol import Neighbours
from mmsearch.store.sql.dialect import HEAD
from mmsearch.types import Ids, Vectors

log = logging.getLogger(__name__)

WIDEST = 4_000  # dimensions that pgvector's HNSW takes of a halfvec
SEARCHES_ON = (0, 8)  # the first version of pgvector that does not end a filtered search after ef_search rows
AT_ONCE = 2_000  # rows that are added in one transaction
PATIENCE = "5s"  # that a change waits while the graph is built; then it is tried another time
EFS = (40, 80, 160, 320, 640, 1000)  # ef_search that are tried; pgvector takes no more
TUNED = 48  # queries: of every second one the nearest are compared for tuning, the others say what it found
GROWN = 2.0  # times the rows that it was tuned for, from which on it is tuned anew
MEMORY = 2 * 2**30  # bytes at most that the server is asked to build the graph in
LINKS = 16  # of a node of the graph, as pgvector has it by default
SPARE = 8  # rows more than are wanted: the server compares with queries in float16
POLL = 0.5  # seconds between two looks at how far the graph is
_LOCK = 3  # second number of the advisory lock of who changes a collection

_REGISTRY = """
CREATE TABLE IF NOT EXISTS vector_collections (
    name text PRIMARY KEY,
    fingerprint text NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    complete bigint NOT NULL DEFAULT -1,
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
_STATE = "SELECT version, rows, complete, ef, recall, asked, tuned FROM vector_collections WHERE name = %s"
_CHANGED = (
    "UPDATE vector_collections SET version = version + 1, rows = rows + %s, complete = -1 WHERE name = %s "
    "RETURNING version, rows, complete, ef, recall, asked, tuned"
)
_LEFT = "SELECT name FROM vector_collections WHERE fingerprint NOT IN (SELECT fingerprint FROM models)"
# ``max_scan_tuples`` bounds how far a scan goes on where a filter leaves few.
_SCAN = (
    "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'strict_order', true), "
    "set_config('hnsw.max_scan_tuples', %s, true), set_config('hnsw.scan_mem_multiplier', '4', true), "
    "set_config('enable_seqscan', 'off', true)"
)
_SCANS = "SELECT setting FROM pg_settings WHERE name = 'hnsw.iterative_scan'"
_PROGRESS = (
    "SELECT tuples_done, tuples_total FROM pg_stat_progress_create_index WHERE relid = to_regclass(%s) "
    "AND phase LIKE 'building index%%'"
)


@dataclass(frozen=True)
class _State:
    """What is noted of a collection."""

    version: int = -1  # grows with every change of its ids; -1 where it was not made yet
    rows: int = 0
    complete: int = -1  # generation of the store
    ef: int = 0  # ef_search that was tuned; 0 where there is no graph
    recall: float = 1.0
    asked: float = 0.0  # the recall that it was tuned for
    tuned: int = 0  # rows that it was tuned with


class PgVectorCollection:
    """A ``Collection`` of ``indexes/collection.py`` in a table of the library's own schema."""

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[Connection]],
        name: str,
        fingerprint: str,
        dim: int,
    ) -> None:
        """``name`` tells it from others of the model with this ``fingerprint``; ``transaction`` gives connections."""
        self._transaction, self._name, self._fingerprint, self._dim = transaction, name, fingerprint, dim
        self._table = table_of(name)
        self._state = _State()
        self._ids: tuple[int, Ids] | None = None  # with the version of which they are
        self._scans: bool | None = None  # whether a scan goes on where a filter leaves too few; asked once
        self._building: Any = None  # the connection of psycopg that builds
        self._stopped = False

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def kind(self) -> str:
        return "pgvector hnsw" if self._state.ef else "pgvector exact"

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

    def complete(self) -> int:
        return self._read().complete

    def _read(self) -> _State:
        with self._transaction() as connection:
            row = None
            if connection.exec_driver_sql(_READABLE, (self._table,)).scalar():
                row = connection.exec_driver_sql(_STATE, (self._name,)).first()
            self._state = _State() if row is None else _State(*row)
        return self._state

    def nearest(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        state = self._state
        count = state.rows if allowed is None else len(allowed)
        few = count <= FEW or (allowed is not None and count * count <= LARGE * k * state.rows)
        if not state.ef or few or LARGE * k > count or not self._goes_on():
            return self.compared(queries, k, allowed)
        with self._transaction() as connection:
            found = [self._scanned(connection, query, k, allowed) for query in queries]
        if any(len(ids) < min(k, count) for ids, _ in found):
            return self.compared(queries, k, allowed)
        return _best(queries, found, k)

    def compared(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        among, given = ("", ()) if allowed is None else ("WHERE id = ANY(%s::bigint[])", (_listed(allowed),))
        # What is added to nothing is in no index: the graph is not asked.
        query = f"SELECT id, halfvec_send(row) FROM {self._table} {among} ORDER BY (row <#> %s) + 0 LIMIT {k + SPARE}"
        with self._transaction() as connection:
            found = [self._read_rows(connection.exec_driver_sql(query, (*given, _half(one)))) for one in queries]
        return _best(queries, found, k)

    def _scanned(self, connection: Connection, query: Vectors, k: int, allowed: Ids | None) -> tuple[Ids, Vectors]:
        """About the ``k`` nearest by the graph, and their rows; fewer where a filter leaves them too far away."""
        state, wanted = self._state, k + SPARE  # a scan that goes on step by step finds less than one that looks ahead
        share = 1.0 if allowed is None else len(allowed) / max(1, state.rows)
        ahead = math.ceil(wanted / share)
        connection.exec_driver_sql(_SCAN, (str(min(max(state.ef, ahead), EFS[-1])), str(max(20_000, 4 * ahead))))
        order = f"FROM {self._table} ORDER BY row <#> %s"
        if allowed is None:
            rows = connection.exec_driver_sql(f"SELECT id, halfvec_send(row) {order} LIMIT {wanted}", (_half(query),))
            return self._read_rows(rows)
        connection.exec_driver_sql(f"DECLARE nearest NO SCROLL CURSOR FOR SELECT id {order}", (_half(query),))
        passed: list[int] = []
        while len(passed) < wanted:
            some = connection.exec_driver_sql(f"FETCH {ahead + SPARE} FROM nearest").all()
            ids = np.array([row[0] for row in some], np.int64)
            passed += ids[np.isin(ids, allowed)].tolist()
            if len(some) < ahead + SPARE:
                break
        connection.exec_driver_sql("CLOSE nearest")
        return self._rows_of(connection, passed[:wanted])

    def _goes_on(self) -> bool:
        """Whether the server takes the setting with which a scan goes on: an unknown one only warns."""
        if self._scans is None:
            with self._transaction() as connection:
                connection.exec_driver_sql("SELECT '[1]'::halfvec")  # pgvector is loaded, and knows its settings
                connection.exec_driver_sql(_SCAN, ("40", "20000"))
                said = connection.exec_driver_sql(_SCANS).scalar()
            self._scans = said == "strict_order"
            if not self._scans:
                log.warning("pgvector there cannot go on with a scan, so all vectors are compared")
        return self._scans

    def vectors(self, ids: Ids) -> Vectors:
        with self._transaction() as connection:
            found, rows = self._rows_of(connection, ids.tolist())
        order = np.argsort(found)
        places = np.searchsorted(found, ids, sorter=order)
        if len(found) == 0 or (places >= len(found)).any() or (found[order[places]] != ids).any():
            if len(ids):
                raise KeyError("the collection has no such id")
            return np.empty((0, self._dim), np.float32)
        return rows[order[places]]

    def _rows_of(self, connection: Connection, ids: list[int]) -> tuple[Ids, Vectors]:
        query = f"SELECT id, halfvec_send(row) FROM {self._table} WHERE id = ANY(%s::bigint[])"
        return self._read_rows(connection.exec_driver_sql(query, (_listed(ids),)))

    def _read_rows(self, result: Any) -> tuple[Ids, Vectors]:
        found = result.all()
        ids = np.array([row[0] for row in found], np.int64)
        joined = b"".join(row[1][HEAD:] for row in found)
        return ids, np.frombuffer(joined, ">f2").reshape(len(found), self._dim).astype(np.float32)

    def change(
        self, added: Ids, fetch: Callable[[Ids], Vectors], gone: Ids, told: Callable[[int], bool] = lambda _: True
    ) -> None:
        if self._read().version < 0:
            self._make()
        for start in range(0, len(gone), AT_ONCE):
            with self._changing() as connection:
                query = f"DELETE FROM {self._table} WHERE id = ANY(%s::bigint[])"
                removed = connection.exec_driver_sql(query, (_listed(gone[start : start + AT_ONCE]),)).rowcount
                self._note(connection, -removed)
        for start in range(0, len(added), AT_ONCE):
            block = added[start : start + AT_ONCE]
            rows = fetch(block)
            with self._changing() as connection:
                self._note(connection, self._insert(connection, block, rows))
            if not told(min(start + AT_ONCE, len(added))):
                return

    def _insert(self, connection: Connection, ids: Ids, rows: Vectors) -> int:
        """Add those of the rows that are not there; their number."""
        from pgvector import HalfVector

        query = f"SELECT id FROM {self._table} WHERE id = ANY(%s::bigint[])"
        there = {row[0] for row in connection.exec_driver_sql(query, (_listed(ids),))}
        new = [place for place, number in enumerate(ids.tolist()) if number not in there]
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {self._table} (id, row) FROM STDIN WITH (FORMAT binary)") as copy:
            copy.set_types(["int8", "halfvec"])
            for place in new:
                copy.write_row((int(ids[place]), HalfVector(rows[place])))
        return len(new)

    def _make(self) -> None:
        with self._transaction() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(current_schema()), %s)", (_LOCK,))
            connection.exec_driver_sql(_REGISTRY)
            # Rows are stored where they stand, not in a table beside it, as wider ones than some 2 KB would be.
            connection.exec_driver_sql(
                f"CREATE TABLE IF NOT EXISTS {self._table} (id bigint PRIMARY KEY, row halfvec({self._dim}) NOT NULL)"
            )
            if self._dim <= WIDEST:  # else they do not fit into a page
                connection.exec_driver_sql(f"ALTER TABLE {self._table} ALTER COLUMN row SET STORAGE PLAIN")
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

    def _note(self, connection: Connection, more: int) -> None:
        row = connection.exec_driver_sql(_CHANGED, (more, self._name)).first()
        if row is None:
            raise LibraryError(f"the collection {self._table} was deleted meanwhile; run the same command again")
        self._state = _State(*row)

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
        if state.rows <= FEW or recall >= 1 or self._dim > WIDEST or not self._goes_on():
            return
        self._stopped = False
        if not state.ef:
            self._build(state.rows, told)
        if not self._stopped and (
            not state.ef or state.asked != np.float32(recall) or state.rows > GROWN * state.tuned
        ):
            self._tune(queries()[:TUNED], recall, state.rows)

    def _build(self, rows: int, told: Callable[[int, int], None]) -> None:
        done = threading.Event()

        def look() -> None:
            while not done.wait(POLL):
                with contextlib.suppress(LibraryError), self._transaction() as connection:
                    for seen, total in connection.exec_driver_sql(_PROGRESS, (self._table,)):
                        told(seen, total or rows)

        watching = threading.Thread(target=look, name="mmsearch-graph", daemon=True)
        with self._changing() as connection:
            most = min(MEMORY, math.ceil(1.5 * rows * (2 * self._dim + 8 * LINKS + 64)))
            connection.exec_driver_sql(
                "SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes(current_setting("
                "'maintenance_work_mem')), %s) / 1024 || 'kB', true), set_config('lock_timeout', '0', true)",
                (most,),
            )
            self._building = connection.connection.driver_connection
            watching.start()
            try:
                connection.exec_driver_sql(
                    f"CREATE INDEX IF NOT EXISTS {self._table}_hnsw ON {self._table} "
                    f"USING hnsw (row halfvec_ip_ops) WITH (m = {LINKS})"
                )
            finally:
                self._building = None
                done.set()
                watching.join()

    def stop(self) -> None:
        self._stopped = True
        building = self._building
        if building is not None:
            building.cancel()

    def _tune(self, queries: Vectors, recall: float, rows: int) -> None:
        """The least ef_search that finds enough, tried with every second query; the others say how much that is."""
        begun = time.monotonic()
        truth = self.compared(queries, 10).ids
        tried, others = slice(0, None, 2), slice(1, None, 2)
        for ef in EFS:
            self._state = _State(**{**vars(self._state), "ef": ef})
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

    def _found(self, queries: Vectors, truth: Ids) -> float:
        with self._transaction() as connection:
            found = [self._scanned(connection, query, 10, None) for query in queries]
        pairs = zip(found, truth, strict=True)
        return float(np.mean([np.isin(right[right >= 0], ids[:10]).mean() for (ids, _), right in pairs]))

    def _drop_others(self) -> None:
        """Those of models that the library no longer has."""
        with self._changing() as connection:
            if connection.exec_driver_sql(_THERE).scalar():
                for name in connection.exec_driver_sql(_LEFT).scalars().all():
                    self._drop(connection, str(name))

    def drop(self) -> None:
        with self._changing() as connection:
            if connection.exec_driver_sql(_THERE).scalar():
                self._drop(connection, self._name)
        self._state, self._ids = _State(), None

    def _drop(self, connection: Connection, name: str) -> None:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table_of(name)}")
        connection.exec_driver_sql("DELETE FROM vector_collections WHERE name = %s", (name,))


def table_of(name: str) -> str:
    """The name of the table of a collection."""
    return "vectors_" + hashlib.sha256(name.encode()).hexdigest()[:16]


def _best(queries: Vectors, found: list[tuple[Ids, Vectors]], k: int) -> Neighbours:
    """The ``k`` best of what was found for each query, by the rows themselves."""
    ids = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    for place, (query, (numbers, rows)) in enumerate(zip(queries, found, strict=True)):
        near = rows @ query
        order = np.argsort(-near, kind="stable")[:k]
        ids[place, : len(order)], scores[place, : len(order)] = numbers[order], near[order]
    return Neighbours(ids, scores)


def _half(query: Vectors) -> Any:
    from pgvector import HalfVector

    return HalfVector(query)


def _listed(ids: Ids | list[int]) -> list[int]:
    return ids if isinstance(ids, list) else ids.tolist()


def goes_on(version: str) -> bool:
    """Whether this version of pgvector searches on where a filter leaves too few (immich#23883)."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= SEARCHES_ON
