"""The tables of a new library in one go: what all migrations together make of an empty file.

``new_schema.sql`` is written by ``python -m mmsearch.store.sqlite.new_schema`` after each new migration; a test
compares it with what the migrations make.  So a new library needs no Alembic, which takes 0.4 s to import.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import Connection

FILE = Path(__file__).with_name("new_schema.sql")
_END = ";\n\n"  # of a statement; those of triggers hold semicolons too
# What the migrations store beside the tables.
_ROWS = (
    "INSERT INTO properties (name, value) VALUES ('generation', '0')",
    "INSERT INTO properties (name, value) VALUES ('identity', lower(hex(randomblob(4))))",
)


def create(connection: Connection) -> None:
    """Make them, in the caller's transaction."""
    for statement in FILE.read_text("utf-8").split(_END):
        if statement.strip():
            connection.exec_driver_sql(statement)


def script(database: sqlite3.Connection) -> str:
    """The statements that make a file like this one, which is a new library."""
    made = "SELECT name, sql, type, rootpage FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
    rows = database.execute(made).fetchall()
    virtual = [name for name, sql, *_ in rows if sql.startswith("CREATE VIRTUAL TABLE")]
    by_itself = tuple(f"{name}_" for name in virtual)  # tables that a virtual one makes
    wanted = [sql for name, sql, *_ in rows if not name.startswith((*by_itself, "sqlite_"))]
    (version,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    rows_too = (*_ROWS, f"INSERT INTO alembic_version (version_num) VALUES ('{version}')")
    return "".join(f"{statement}{_END}" for statement in (*wanted, *rows_too))


def migrated(file: Path) -> str:
    """``script`` of a new library in ``file`` that the migrations make one after the other."""
    from sqlalchemy import create_engine

    from mmsearch.store.sqlite import schema

    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        schema.migrate(connection, str(file.parent))
    engine.dispose()
    database = sqlite3.connect(file)
    try:
        return script(database)
    finally:
        database.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(migrated(Path(folder, "library.sqlite")), "utf-8")
