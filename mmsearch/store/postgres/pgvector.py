"""Vectors that pgvector searches: rows in a table of the library's own database, with a graph where there are many."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from sqlalchemy import Connection

from mmsearch.errors import LibraryError
from mmsearch.indexes.index import FEW, LARGE
from mmsearch.indexes.protocol import Neighbours
from mmsearch.store.postgres.collection import EFS, SPARE, NotedCollection, Transaction, best, rows_in_order
from mmsearch.store.sql.dialect import HEAD
from mmsearch.types import Ids, Vectors

log = logging.getLogger(__name__)

WIDEST = 4_000  # dimensions that pgvector's HNSW takes of a halfvec
SEARCHES_ON = (0, 8)  # the first version of pgvector that does not end a filtered search after ef_search rows
MEMORY = 2 * 2**30  # bytes at most that the server is asked to build the graph in
LINKS = 16  # of a node of the graph, as pgvector has it by default
POLL = 0.5  # seconds between two looks at how far the graph is

# ``max_scan_tuples`` bounds how far a scan goes on where a filter leaves few.
_SCAN = (
    "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'strict_order', true), "
    "set_config('hnsw.max_scan_tuples', %s, true), set_config('hnsw.scan_mem_multiplier', '4', true), "
    "set_config('enable_seqscan', 'off', true)"
)
_SCANS = "SELECT setting FROM pg_settings WHERE name = 'hnsw.iterative_scan'"
_MEMORY = (
    "SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes(current_setting('maintenance_work_mem')), %s) "
    "/ 1024 || 'kB', true), set_config('lock_timeout', '0', true)"
)
_PROGRESS = (
    "SELECT tuples_done, tuples_total FROM pg_stat_progress_create_index WHERE relid = to_regclass(%s) "
    "AND phase LIKE 'building index%%'"
)


class PgVectorCollection(NotedCollection):
    """A ``Collection`` in a table of the library's own schema."""

    engine = "pgvector"

    def __init__(self, transaction: Transaction, name: str, fingerprint: str, dim: int) -> None:
        super().__init__(transaction, name, fingerprint, dim)
        self._scans: bool | None = None  # whether a scan goes on where a filter leaves too few; asked once
        self._building: Any = None  # the connection of psycopg that builds

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
        return best(queries, found, k)

    def compared(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        among, given = ("", ()) if allowed is None else ("WHERE id = ANY(%s::bigint[])", (allowed.tolist(),))
        # What is added to nothing is in no index: the graph is not asked.
        query = f"SELECT id, halfvec_send(row) FROM {self._table} {among} ORDER BY (row <#> %s) + 0 LIMIT {k + SPARE}"
        with self._transaction() as connection:
            found = [self._read_rows(connection.exec_driver_sql(query, (*given, _half(one)))) for one in queries]
        return best(queries, found, k)

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

    def _by_graph(self, queries: Vectors, k: int) -> list[Ids]:
        with self._transaction() as connection:
            return [self._scanned(connection, query, k, None)[0][:k] for query in queries]

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
            return rows_in_order(ids, *self._rows_of(connection, ids.tolist()))

    def ping(self) -> None:
        if self._read().version >= 0:
            with self._transaction() as connection:
                connection.exec_driver_sql(f"SELECT id FROM {self._table} LIMIT 1")

    def _rows_of(self, connection: Connection, ids: list[int]) -> tuple[Ids, Vectors]:
        query = f"SELECT id, halfvec_send(row) FROM {self._table} WHERE id = ANY(%s::bigint[])"
        return self._read_rows(connection.exec_driver_sql(query, (ids,)))

    def _read_rows(self, result: Any) -> tuple[Ids, Vectors]:
        found = result.all()
        ids = np.array([row[0] for row in found], np.int64)
        joined = b"".join(row[1][HEAD:] for row in found)
        return ids, np.frombuffer(joined, ">f2").reshape(len(found), self._dim).astype(np.float32)

    def _add(self, ids: Ids, rows: Vectors) -> None:
        from pgvector import HalfVector

        with self._changing() as connection:
            there = self._there(connection, ids)
            new = [place for place, number in enumerate(ids.tolist()) if number not in there]
            cursor = connection.connection.cursor()
            with cursor.copy(f"COPY {self._table} (id, row) FROM STDIN WITH (FORMAT binary)") as copy:
                copy.set_types(["int8", "halfvec"])
                for place in new:
                    copy.write_row((int(ids[place]), HalfVector(rows[place])))
            self._count(connection, len(new))

    def _remove(self, ids: Ids) -> None:
        with self._changing() as connection:
            self._forget(connection, ids)

    def _beside(self, connection: Connection) -> None:
        connection.exec_driver_sql(
            f"ALTER TABLE {self._table} ADD COLUMN IF NOT EXISTS row halfvec({self._dim}) NOT NULL"
        )
        if self._dim <= WIDEST:  # they fit into a page, and need not stand in another table beside it
            connection.exec_driver_sql(f"ALTER TABLE {self._table} ALTER COLUMN row SET STORAGE PLAIN")

    def _can_build(self) -> bool:
        return self._dim <= WIDEST and self._goes_on()

    def _build(self, rows: int, told: Callable[[int, int], None]) -> None:
        done = threading.Event()

        def look() -> None:
            while not done.wait(POLL):
                with contextlib.suppress(LibraryError), self._transaction() as connection:
                    for seen, total in connection.exec_driver_sql(_PROGRESS, (self._table,)):
                        told(seen, total or rows)

        watching = threading.Thread(target=look, name="mmsearch-graph", daemon=True)
        with self._changing() as connection:
            wanted = math.ceil(1.5 * rows * (2 * self._dim + 8 * LINKS + 64))
            connection.exec_driver_sql(_MEMORY, (min(MEMORY, wanted),))
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
        super().stop()
        building = self._building
        if building is not None:
            building.cancel()


def goes_on(version: str) -> bool:
    """Whether this version of pgvector searches on where a filter leaves too few (immich#23883)."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= SEARCHES_ON


def _half(query: Vectors) -> Any:
    from pgvector import HalfVector

    return HalfVector(query)
