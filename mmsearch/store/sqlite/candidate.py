"""Whether a database that somebody gave may become a library: made as this version makes one, and with nothing else.

A trigger or a view of somebody's own would run with every change; a column of another kind ends a search later.
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Boolean, Float, Integer, LargeBinary, String, create_engine

from mmsearch.errors import NewerLibraryError, TransferError
from mmsearch.store.sql.tables import metadata
from mmsearch.store.sqlite import schema
from mmsearch.store.sqlite.integrity_rules import WHERE
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.types import FINGERPRINT, WIDEST

log = logging.getLogger(__name__)

_KINDS: dict[type[Any], tuple[str, ...]] = {  # of a column -> what SQLite may call its values
    Boolean: ("integer",),
    Integer: ("integer",),
    Float: ("real", "integer"),
    String: ("text",),
    LargeBinary: ("blob",),
}


def check_made(connection: sqlite3.Connection, file: Path, version: str) -> None:
    """Whether a database has the tables, columns and triggers of a new library of its version, and nothing else.

    Raises TransferError, NewerLibraryError.
    """
    with tempfile.TemporaryDirectory(prefix="mmsearch-") as folder:
        new = Path(folder) / "library.sqlite"
        engine = create_engine(URL.create("sqlite", database=str(new)))
        try:
            with engine.begin() as made:
                if version == schema.HEAD:  # without Alembic, which takes longer than all the rest
                    schema.upgrade(made, str(file))
                else:
                    schema.migrate(made, str(file), version)
        except Exception as error:  # of Alembic, for a version that it does not know
            raise TransferError(f"{file} is no backup that can be used: its version is {version[:60]!r}") from error
        finally:
            engine.dispose()
        with closing(sqlite3.connect(new)) as other:
            wanted = _shape(other)
    got = _shape(connection)
    wrong = sorted(name for name in wanted.keys() | got.keys() if got.get(name) != wanted.get(name))
    if wrong:
        kind, name = wrong[0]
        raise TransferError(
            f"{file} is no backup that can be used: its {kind} {name[:60]!r} is not as mmsearch makes it; nothing was "
            "changed"
        )


def accept(draft: Path, file: Path) -> None:
    """Bring ``draft``, a copy of the backup ``file``, up to date; what ``verify`` would find wrong in it is mended.

    Raises TransferError for what cannot be mended, is no library, or would have ``index`` look where it never did;
    NewerLibraryError.
    """
    try:
        with closing(SqliteStore(draft)) as store:
            damages = store.damages(None, deep=True)
            for damage in damages:
                if damage.kind in WHERE:
                    named = f" (such as {damage.examples[0][:60]!r})" if damage.examples else ""
                    raise TransferError(
                        f"{file} is no backup that can be used: it has {damage.what}{named}; wanted are absolute paths "
                        "of this system; nothing was changed"
                    )
            if any(damage.mendable for damage in damages):
                store.mend(None)
                for damage in damages:
                    log.warning("the backup %s had %s: %s", file, damage.what, damage.remedy)
                damages = store.damages(None, deep=True)
            if damages:
                raise TransferError(f"the backup {file} is damaged ({damages[0].what}); nothing was changed")
        with closing(sqlite3.connect(draft)) as connection:
            _check_values(connection, file)
    except (TransferError, NewerLibraryError, sqlite3.OperationalError, OSError):
        raise
    except Exception as error:  # values of another kind fail in as many ways as there are migrations and rules
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TransferError(f"{file} is no backup that can be used ({reason}); nothing was changed") from error


def _shape(connection: sqlite3.Connection) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Of each table its columns and keys; of what acts by itself, and what a module of SQLite manages, its text."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    everything = "SELECT type, name, sql FROM sqlite_master WHERE type <> 'index' AND name NOT LIKE 'sqlite_%'"
    for kind, name, made in connection.execute(everything).fetchall():
        text = " ".join(str(made).split())
        if kind != "table" or text.upper().startswith("CREATE VIRTUAL"):
            found[kind, name] = (text,)
            continue
        columns = connection.execute("SELECT name, upper(type), pk, hidden FROM pragma_table_xinfo(?)", (name,))
        keys = connection.execute('SELECT "table", "from", "to", on_delete FROM pragma_foreign_key_list(?)', (name,))
        found[kind, name] = (sorted(columns.fetchall()), sorted(keys.fetchall(), key=repr))
    return found


def _check_values(connection: sqlite3.Connection, file: Path) -> None:
    """Raises TransferError for values of another kind than their column's, and names that lead out of a folder."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            kinds = next(kinds for kind, kinds in _KINDS.items() if isinstance(column.type, kind))
            allowed = ", ".join(f"'{kind}'" for kind in (*kinds, *(("null",) if column.nullable else ())))
            query = f'SELECT EXISTS (SELECT 1 FROM "{table.name}" WHERE typeof("{column.name}") NOT IN ({allowed}))'
            if connection.execute(query).fetchone() != (0,):
                raise TransferError(
                    f"{file} is no backup that can be used: {column.name} of its table {table.name} holds values of "
                    "another kind; nothing was changed"
                )
    for fingerprint, dim in connection.execute("SELECT fingerprint, dim FROM models"):
        if not FINGERPRINT.fullmatch(fingerprint) or not 1 <= dim <= WIDEST:
            raise TransferError(
                f"{file} is no backup that can be used: a model of {dim} dimensions has the fingerprint "
                f"{fingerprint[:60]!r}; nothing was changed"
            )
