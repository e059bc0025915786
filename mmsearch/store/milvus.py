"""Vectors that Milvus searches, beside a library whose rows are in PostgreSQL.

The library's database notes which rows Milvus was given, after it has them; those that it was given and that are noted
nowhere are left out of hits, and given again under the same id.
"""

from __future__ import annotations

import functools
import logging
import math
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from mmsearch.errors import LibraryError
from mmsearch.indexes.index import FEW, LARGE
from mmsearch.indexes.protocol import Neighbours
from mmsearch.store.milvus_client import TIMEOUT, Milvus, timeout
from mmsearch.store.objects import Objects
from mmsearch.store.postgres.collection import EFS, SPARE, NotedCollection, Transaction, best, rows_in_order, table_of
from mmsearch.store.postgres.store import PostgresStore
from mmsearch.store.types import Capabilities, StoredModel
from mmsearch.types import Ids, Vectors

log = logging.getLogger(__name__)

COMPARED = 2_000  # allowed rows that are fetched and compared here
FETCHED = 4_096  # rows that are asked for together
NAMED = 16_384  # allowed rows that are named in a search, where they are too few to be met on the way
FETCHED_AT_MOST = 100_000  # rows that are fetched to compare all
WIDEST = 32_768  # the greatest ef
MOST = 16_384  # hits that Milvus gives for one search
POLL = 1.0  # seconds between two looks at how far Milvus is
FRESH = 10.0  # seconds after a change in which searches wait until Milvus shows it; then it does anyway
LINKS, WIDTH = 16, 200  # of the graph: M and efConstruction
QUANTIZED = (2, 6)  # the first version of Milvus that has IVF_RABITQ


class PostgresWithMilvus(PostgresStore):
    """A library in PostgreSQL whose vectors Milvus searches."""

    def __init__(
        self, url: str, cache: Path, pool: int, create: bool, milvus: Milvus, blobs: Objects | None = None
    ) -> None:
        """Raises what ``PostgresStore`` raises."""
        self._milvus = milvus
        super().__init__(url, cache, pool, create, blobs)

    @functools.cached_property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, vector_search=True)

    @property
    def engines(self) -> dict[str, str]:
        return {**super().engines, "vectors": "Milvus"}

    def collection(self, name: str, model: StoredModel) -> MilvusCollection:
        return MilvusCollection(
            self._transaction, name, model.fingerprint, model.dim + 1, self._milvus, self.identity()
        )

    def close(self) -> None:
        super().close()
        self._milvus.close()


class MilvusCollection(NotedCollection):
    """A ``Collection`` whose rows are in a collection of Milvus, and whose ids are in a table of the library."""

    engine = "milvus"

    def __init__(
        self, transaction: Transaction, name: str, fingerprint: str, dim: int, milvus: Milvus, library: str
    ) -> None:
        """``library`` is the identity of the library: several may share a server."""
        super().__init__(transaction, name, fingerprint, dim)
        self._milvus, self._library = milvus, library
        self._own = self._called(name)
        self._loaded = False

    def _called(self, name: str) -> str:
        return f"mmsearch_{re.sub('[^0-9A-Za-z]', '_', self._library)}_{table_of(name)}"

    def nearest(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        rows = self._state.rows
        count = rows if allowed is None else len(allowed)
        if not count or not rows:
            return best(queries, [(np.zeros(0, np.int64), np.zeros((0, self._dim), np.float32))] * len(queries), k)
        if allowed is not None and (count <= COMPARED or LARGE * k > count):
            return self.compared(queries, k, allowed)
        wanted = min(k, count)
        ahead = math.ceil((wanted + SPARE) * rows / count)
        if allowed is None:
            found = self._searched(queries, min(wanted + SPARE, MOST), self._width(wanted))
        elif 2 * ahead <= MOST:
            found = [ids[np.isin(ids, allowed)] for ids in self._searched(queries, 2 * ahead, self._width(2 * ahead))]
        elif count <= NAMED:
            found = self._searched(queries, wanted + SPARE, self._width(wanted), allowed)
        else:
            found = [np.zeros(0, np.int64)] * len(queries)
        if any(len(ids) < wanted for ids in found):
            return self.compared(queries, k, allowed)
        return self._scored(queries, [ids[: wanted + SPARE] for ids in found], k)

    def compared(self, queries: Vectors, k: int, allowed: Ids | None = None) -> Neighbours:
        """The rows are fetched; where they are too many for that, Milvus looks as far as it can."""
        if allowed is None and self._state.rows > FETCHED_AT_MOST and k <= MOST:
            return self._scored(queries, self._searched(queries, k, MOST), k)
        ids = self.ids() if allowed is None else allowed
        nearest: list[tuple[Ids, Vectors]] = []
        for start in range(0, len(ids), FETCHED):
            found, rows = self._fetched(ids[start : start + FETCHED])
            if nearest:  # those of the blocks before, and these
                together = [(np.concatenate([own, found]), np.concatenate([mine, rows])) for own, mine in nearest]
            else:
                together = [(found, rows)] * len(queries)
            nearest = [_first(query, one, k) for query, one in zip(queries, together, strict=True)]
        nothing = (np.zeros(0, np.int64), np.zeros((0, self._dim), np.float32))
        return best(queries, nearest or [nothing] * len(queries), k)

    def _width(self, wanted: int) -> int:
        """The ef to ask for: as many times what is wanted as it was tuned to be of ten."""
        return min(WIDEST, max(EFS[0], math.ceil(wanted * (self._state.ef or EFS[-1]) / 10)))

    def _searched(self, queries: Vectors, count: int, ef: int, among: Ids | None = None) -> list[Ids]:
        """Ids of about the ``count`` nearest to each, best first."""
        given: dict[str, Any] = {}
        if among is not None:
            given["filter"] = f"id in {among.tolist()}"
        # Every kind of graph or lists takes its own setting, and ignores that of others.
        found = self._ask(
            lambda client: client.search(
                self._own,
                data=[query.tolist() for query in queries],
                limit=count,
                anns_field="row",
                search_params={"metric_type": "IP", "params": {"ef": ef, "nprobe": ef}},
                consistency_level=self._consistency(),
                timeout=timeout(),
                **given,
            )
        )
        return [np.array([hit["id"] for hit in hits], np.int64) for hits in found]

    def _consistency(self) -> str:
        """Soon after a change what was written is waited for; that costs 0.2 s a search."""
        fresh = self._state.age + time.monotonic() - self._read_at < FRESH
        return "Strong" if fresh else "Bounded"

    def _scored(self, queries: Vectors, found: list[Ids], k: int) -> Neighbours:
        every = np.unique(np.concatenate(found))
        ids, rows = self._fetched(every)
        order = np.argsort(ids)
        own = []
        for some in found:
            there = some[np.isin(some, ids)]
            own.append((there, rows[order[np.searchsorted(ids, there, sorter=order)]]))
        return best(queries, own, k)

    def vectors(self, ids: Ids) -> Vectors:
        blocks = [self._fetched(ids[start : start + FETCHED]) for start in range(0, len(ids), FETCHED)]
        if not blocks:
            return np.empty((0, self._dim), np.float32)
        found, rows = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return rows_in_order(ids, found, rows)

    def _fetched(self, ids: Ids) -> tuple[Ids, Vectors]:
        found: list[dict[str, Any]] = []
        if len(ids):
            found = self._ask(
                lambda client: client.query(
                    self._own,
                    ids=ids.tolist(),
                    output_fields=["id", "row"],
                    consistency_level=self._consistency(),
                    timeout=timeout(),
                )
            )
        numbers = np.array([row["id"] for row in found], np.int64)
        rows = np.array([row["row"] for row in found], np.float32).reshape(len(found), self._dim)
        return numbers, rows

    @property
    def kind(self) -> str:
        return self.engine  # it has graphs of its own for what it wrote out, and compares the rest

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """What the client answers, once Milvus has the collection in its memory; after a restart it may not."""
        for last in (False, True):
            try:
                with self._milvus.asked() as client:
                    if not self._loaded:
                        client.load_collection(self._own, timeout=timeout())
                        self._loaded = True
                    return question(client)
            except LibraryError:
                if last or not self._loaded:
                    raise
                self._loaded = False
        return None

    def ping(self) -> None:
        self._ask(lambda client: client.query(self._own, ids=[0], output_fields=["id"], timeout=timeout()))

    def _beside(self, connection: Connection) -> None:
        with self._milvus.asked() as client:
            from pymilvus import DataType

            if not client.has_collection(self._own):
                schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
                schema.add_field("id", DataType.INT64, is_primary=True)
                schema.add_field("row", DataType.FLOAT_VECTOR, dim=self._dim)
                index = client.prepare_index_params()
                index.add_index("row", metric_type="IP", **_kind(client.get_server_version()))
                client.create_collection(self._own, schema=schema, index_params=index, consistency_level="Bounded")

    def _add(self, ids: Ids, rows: Vectors) -> None:
        given = [{"id": number, "row": row} for number, row in zip(ids.tolist(), rows, strict=True)]
        with self._milvus.asked() as client:
            client.upsert(self._own, given, timeout=timeout())
        with self._changing() as connection:
            new = sorted(set(ids.tolist()) - self._there(connection, ids))
            connection.exec_driver_sql(f"INSERT INTO {self._table} (id) SELECT unnest(%s::bigint[])", (new,))
            self._count(connection, len(new))

    def _remove(self, ids: Ids) -> None:
        with self._changing() as connection:
            self._forget(connection, ids)
        with self._milvus.asked() as client:
            client.delete(self._own, ids=ids.tolist(), timeout=timeout())

    def note_complete(self, generation: int) -> None:
        """What a kill left in Milvus between two steps is taken out first, or put in again next time."""
        if self._counted() != self._state.rows and self.reconcile():
            return
        super().note_complete(generation)

    def _counted(self) -> int:
        found = self._ask(
            lambda client: client.query(
                self._own, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=timeout()
            )
        )
        return int(found[0]["count(*)"])

    def reconcile(self) -> int:
        noted, there = self.ids(), self._ids_there()
        more, lacking = np.setdiff1d(there, noted), np.setdiff1d(noted, there)
        if len(more):
            with self._milvus.asked() as client:
                client.delete(self._own, ids=more.tolist(), timeout=timeout())
        if len(lacking):
            with self._changing() as connection:
                self._forget(connection, lacking)
        return len(more) + len(lacking)

    def ids_there(self) -> Ids:
        with self._milvus.asked() as client:
            made = client.has_collection(self._own)
        return self._ids_there() if made else np.zeros(0, np.int64)

    def _ids_there(self) -> Ids:
        pages: list[Ids] = []
        while not pages or len(pages[-1]) == FETCHED:  # ids come in their order
            last = int(pages[-1][-1]) if pages else -1
            found = self._ask(partial(self._page, last))
            pages.append(np.sort(np.array([row["id"] for row in found], np.int64)))
        return np.concatenate(pages)

    def _page(self, last: int, client: Any) -> Any:
        return client.query(
            self._own,
            filter=f"id > {last}",
            output_fields=["id"],
            limit=FETCHED,
            consistency_level="Strong",
            timeout=timeout(),
        )

    def _truth(self, queries: Vectors, k: int) -> Ids:
        return np.stack([ids[:k] for ids in self._searched(queries, k, MOST)])

    def _can_build(self) -> bool:
        return True

    def maintain(self, queries: Callable[[], Vectors], recall: float, told: Callable[[int, int], None]) -> None:
        if self._read().rows > FEW:
            self._stopped = False
            self._settle(told)
        super().maintain(queries, recall, told)

    def _build(self, rows: int, told: Callable[[int, int], None]) -> None:
        """Milvus builds by itself, see ``_settle``."""

    def _settle(self, told: Callable[[int, int], None]) -> None:
        """Wait until Milvus has a graph of all rows; until then it has a coarse index of the newest, which finds less.

        It builds, segment by segment, of what is written out.
        """
        with self._milvus.asked() as client:
            client.flush(self._own, timeout=20 * TIMEOUT)
            while not self._stopped:
                state = client.describe_index(self._own, "row")
                total, done = int(state.get("total_rows", 0)), int(state.get("indexed_rows", 0))
                told(min(done, total), total)
                if done >= total and not int(state.get("pending_index_rows", 0)):
                    break
                time.sleep(POLL)

    def _by_graph(self, queries: Vectors, k: int) -> list[Ids]:
        return [ids[:k] for ids in self._searched(queries, k + SPARE, self._width(k))]

    def drop(self) -> None:
        super().drop()
        self._loaded = False

    def _drop(self, connection: Connection, name: str) -> None:
        super()._drop(connection, name)
        with self._milvus.asked() as client:
            if client.has_collection(self._called(name)):
                client.drop_collection(self._called(name))


def _kind(version: str) -> dict[str, Any]:
    """The index of a server of this version: quantized lists where it has them (Gao and Long 2024), else a graph."""
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if numbers >= QUANTIZED:
        return {"index_type": "IVF_RABITQ", "params": {"nlist": 1024, "refine": True, "refine_type": "FP16"}}
    return {"index_type": "HNSW", "params": {"M": LINKS, "efConstruction": WIDTH}}


def _first(query: Vectors, found: tuple[Ids, Vectors], k: int) -> tuple[Ids, Vectors]:
    ids, rows = found
    order = np.argsort(-(rows @ query), kind="stable")[:k]
    return ids[order], rows[order]
