"""Brings a SQLite file to the schema of this version, or refuses it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mmsearch.errors import LibraryError, NewerLibraryError
from mmsearch.store.sqlite import fulltext, new_schema

HEAD = "014"  # the newest migration; a test compares it with the files in migrations/versions


def _version(connection: Connection) -> tuple[str | None, bool]:
    """The file's migration, and whether it has any table at all."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        return None, bool(tables)
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar(), True


def is_current(connection: Connection) -> bool:
    return _version(connection)[0] == HEAD


def upgrade(connection: Connection, library: str) -> None:
    """Make the tables of a new library, or run the migrations that the file lacks.

    In the caller's transaction, with foreign keys off.  Raises NewerLibraryError for a file with a migration that this
    version does not know, LibraryError for a database of something else.
    """
    if _version(connection) == (None, False):
        new_schema.create(connection)
    else:
        migrate(connection, library)


def migrate(connection: Connection, library: str, revision: str = "head") -> None:
    """Run the migrations that the file lacks, up to the last one or to ``revision``; in an empty file that is all.

    In the caller's transaction, with foreign keys off: see ``m005_items``.  Alembic takes 0.4 s to import, so it is
    only called where ``is_current`` said no.  Raises NewerLibraryError for a file with a migration that this version
    does not know, LibraryError for a database of something else.
    """
    with _quiet():
        _upgrade(connection, library, revision)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Alembic tells every step, and what it imports, at INFO: that says nothing to who uses a library."""
    logger = logging.getLogger("alembic")
    before = logger.level
    logger.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(before)


def _upgrade(connection: Connection, library: str, revision: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    found, used = _version(connection)
    if found is None and used:
        raise LibraryError(f"{library} holds a database of another program", code="foreign-database")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if found is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(found)
        except CommandError as error:
            raise NewerLibraryError(library, found) from error
    command.upgrade(config, revision)
    if found is not None and found < fulltext.SINCE and revision == "head":
        fulltext.fill(connection)
