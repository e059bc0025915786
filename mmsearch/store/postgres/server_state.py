"""What a server is, and what a person may do there: looked at, and nothing of it changed."""

from __future__ import annotations

from contextlib import closing

import psycopg

from mmsearch.store.postgres.address import Address
from mmsearch.store.postgres.failures import explained
from mmsearch.store.postgres.schema import check_version
from mmsearch.store.types import ServerState

_STATE = """
SELECT current_setting('server_version'),
    (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),
    to_regclass(quote_ident(current_schema()) || '.alembic_version') IS NOT NULL,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on',
    current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE'),
    (SELECT min(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
        AND NOT has_table_privilege(oid, 'SELECT')),
    (SELECT min(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
        AND NOT (has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE')
            AND has_table_privilege(oid, 'DELETE')) AND relname <> 'alembic_version')
"""


def state_of(url: str) -> ServerState:
    """Raises LibraryError where nobody answers, or lets nobody in."""
    address = Address(url)
    with explained(address):
        connection = psycopg.connect(**address.connecting(), autocommit=True)  # type: ignore[arg-type]
        with closing(connection):
            check_version(str(address), connection.info.server_version)
            row = connection.execute(_STATE).fetchone()
    assert row is not None
    version, there, offered, made, reads_only, may_create, unread, unwritten = row
    why = None
    if reads_only:
        why = "the server, or this user there, only reads"
    elif unread is not None:
        why = f"this user may not read the table {unread}"
    elif made and unwritten is not None:
        why = f"this user may not write the table {unwritten}"
    elif not made and not may_create:
        why = "this user may not make tables in the schema"
    elif not made and there is None and offered is None:
        why = "the server lacks pgvector"
    return ServerState(str(address), version, there or offered, bool(made), why)
