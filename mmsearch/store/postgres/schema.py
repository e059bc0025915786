"""Brings a database to the schema of this version, or refuses it."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection

from mmsearch.errors import LibraryError, NewerLibraryError, NoModelError

HEAD = "014"  # the newest migration; a test compares it with the files in migrations/versions
OLDEST = 13  # of PostgreSQL: since then users may add extensions that are trusted, and UUIDs need none
_LOCK = 0x6D6D7365617263  # of an advisory lock: one process makes the tables
_OWN_VERSION = "SELECT to_regclass(quote_ident(current_schema()) || '.alembic_version')"
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"


def check_version(library: str, number: int) -> None:
    """Raises LibraryError for a server that is too old, by its number as libpq gives it: 130004 for 13.4."""
    if number < OLDEST * 10_000:
        raise LibraryError(
            f"library {library}: the server is PostgreSQL {number // 10_000}; wanted is {OLDEST} or newer",
            code="server-too-old",
        )


def is_current(connection: Connection) -> bool:
    if connection.exec_driver_sql(_OWN_VERSION).scalar() is None:
        return False
    found: object = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found == HEAD


def upgrade(connection: Connection, library: str, create: bool = True) -> None:
    """Run the migrations that the database lacks, in the caller's transaction; others that come meanwhile wait.

    Raises NoModelError for an empty one, without ``create``; NewerLibraryError for one with a migration that this
    version does not know; LibraryError for one of something else, and where pgvector is missing.
    """
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    if connection.exec_driver_sql("SELECT current_schema()").scalar() is None:
        raise LibraryError(f"library {library}: the search_path of this user names no schema", code="no-rights")
    tables = set(connection.exec_driver_sql(_TABLES).scalars())
    if tables and "alembic_version" not in tables:
        raise LibraryError(
            f"library {library}: the schema holds tables of another program, such as {min(tables)!r}; name an empty "
            "database, or a schema of its own",
            code="foreign-tables",
        )
    if not tables and not create:
        raise NoModelError(f"there is no library in {library} yet")
    if not tables:
        _with_vectors(connection, library)
    _upgrade(connection, library)


def _with_vectors(connection: Connection, library: str) -> None:
    """Make the types of pgvector known, where they are not."""
    old = "pgvector there is older than 0.7, which has no halfvec; update it"
    if connection.exec_driver_sql("SELECT to_regtype('halfvec')").scalar() is not None:
        return
    if connection.exec_driver_sql("SELECT 1 FROM pg_extension WHERE extname = 'vector'").scalar() is not None:
        raise LibraryError(f"library {library}: {old}, or put its schema on the search_path", code="no-pgvector")
    if connection.exec_driver_sql("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").scalar() is None:
        raise LibraryError(
            f"library {library}: the server lacks pgvector; install its package there (postgresql-…-pgvector)",
            code="no-pgvector",
        )
    trusted = connection.exec_driver_sql(
        "SELECT bool_or(trusted) OR current_setting('is_superuser') = 'on' FROM pg_available_extension_versions "
        "WHERE name = 'vector'"
    ).scalar()
    if not trusted:
        raise LibraryError(
            f"library {library}: the database lacks pgvector, and this user may not add it; have an administrator run "
            "CREATE EXTENSION vector in it",
            code="no-pgvector",
        )
    connection.exec_driver_sql("CREATE EXTENSION vector")
    if connection.exec_driver_sql("SELECT to_regtype('halfvec')").scalar() is None:
        raise LibraryError(f"library {library}: {old}", code="no-pgvector")


def _upgrade(connection: Connection, library: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    logger = logging.getLogger("alembic")  # it tells every step at INFO: that says nothing to who uses a library
    before = logger.level
    logger.setLevel(max(before, logging.WARNING))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        if connection.exec_driver_sql(_OWN_VERSION).scalar() is not None:
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            try:
                ScriptDirectory.from_config(config).get_revision(str(found))
            except CommandError as error:
                raise NewerLibraryError(library, str(found)) from error
        command.upgrade(config, "head")
    finally:
        logger.setLevel(before)
