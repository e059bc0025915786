"""Scan of single addresses: pictures in object stores or on web servers that a table names, and that are in no root.

Nothing is missing because a table does not name it any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from mmsearch.errors import SourceError
from mmsearch.ingest.read import UNSEEN
from mmsearch.ingest.scan import Plan, at_or_below, compare
from mmsearch.media.filesystem import status_of
from mmsearch.media.remote_path import is_remote, normal
from mmsearch.store.protocol import Store
from mmsearch.store.types import StoredModel
from mmsearch.types import Found, Skipped

AT_ONCE = 1000  # addresses that are asked about before the next ones are
REQUESTS = 4  # that a reading thread's share is: each waits for the network most of the time
NO_ADDRESS = "it is no address: s3://, gs://, az://, http:// or https://"


def add_addresses(plan: Plan, store: Store, model: StoredModel, addresses: Sequence[str], readers: int) -> None:
    """Put the files at these addresses into the plan.

    Unknown ones are read.  A known one is asked for its size and time, and read where these are others.  One that
    cannot be asked for is skipped, and stays as it is in the library.
    """
    planned = {file.path for file in plan.read} | plan.known.keys()
    wanted: dict[str, None] = {}  # in order, each once
    for given in addresses:
        try:
            address = normal(given) if is_remote(given) else ""
        except SourceError as error:
            plan.skipped.append(Skipped(given, str(error)))
            continue
        if not address:
            plan.skipped.append(Skipped(given, NO_ADDRESS))
        elif address not in planned:
            wanted[address] = None
    known = store.files_at(list(wanted), model)
    plan.known |= known

    def look(address: str) -> Found | Skipped:
        row = known.get(address)
        if row is None or row.mtime_ns == UNSEEN:  # a new one, or one that could not be read: it is asked for once
            return Found(address, 0, UNSEEN)
        try:
            return Found(address, *status_of(address))
        except OSError as error:
            return Skipped(address, error.strerror or str(error))

    with ThreadPoolExecutor(REQUESTS * readers, thread_name_prefix="mmsearch-look") as pool:
        rest: Iterator[str] = iter(wanted)
        while some := list(islice(rest, AT_ONCE)):
            for seen in pool.map(look, some):
                if isinstance(seen, Skipped):
                    plan.skipped.append(seen)
                elif seen.mtime_ns == UNSEEN:
                    plan.read.append(seen)
                else:
                    compare(plan, seen, known.get(seen.path))


def add_lacking(plan: Plan, store: Store, model: StoredModel) -> None:
    """Have those read again, of files in no root, that have no vector of this model yet."""
    planned, roots = {file.path for file in plan.read} | plan.known.keys(), set(store.roots())
    for path, row in store.remote_lacking(model).items():
        if path not in planned and not at_or_below(path, roots):
            plan.known[path] = row
            plan.read.append(Found(path, 0, UNSEEN))
