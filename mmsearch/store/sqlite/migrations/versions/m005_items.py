"""Items: what is searched is a part of a content; vectors, tokens, captions, texts and tags belong to it.

Every content gets one item with its own id, so that no row with a vector or with region tokens is written: columns are
renamed in place, and their foreign keys are led to ``items`` by renaming ``contents`` there and back.  SQLite changes
them with the first renaming, and with ``legacy_alter_table`` leaves them alone with the second; for that foreign keys
must be off, as ``Database`` has them while it upgrades.  (``PRAGMA writable_schema`` would do it as well, but some
builds of SQLite refuse it.)  Only ``photos``, small rows, is copied: its ids are never used twice from now on.

All in one transaction: a process that is killed leaves the library as it was, and the next one begins anew.
"""

from __future__ import annotations

from alembic import op

revision = "005"
down_revision = "004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # Foreign keys of vectors, tokens and the like: contents -> items.
    "PRAGMA legacy_alter_table = OFF",
    "ALTER TABLE contents RENAME TO items",
    "PRAGMA legacy_alter_table = ON",
    "ALTER TABLE items RENAME TO contents",
    # One item for each content.
    "CREATE TABLE items (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "
    "content_id INTEGER NOT NULL, part INTEGER NOT NULL, start_ms INTEGER, end_ms INTEGER, "
    "UNIQUE (content_id, part), FOREIGN KEY(content_id) REFERENCES contents (id) ON DELETE CASCADE)",
    "INSERT INTO items (id, content_id, part) SELECT id, id, 0 FROM contents ORDER BY id",
    # Photos, whose foreign key was led away too, with ids that are never used twice.
    "CREATE TABLE photos_new (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL UNIQUE, "
    "state VARCHAR NOT NULL, reason VARCHAR, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, "
    "content_id INTEGER, FOREIGN KEY(content_id) REFERENCES contents (id))",
    "INSERT INTO photos_new (id, path, state, reason, size, mtime_ns, content_id) "
    "SELECT id, path, state, reason, size, mtime_ns, content_id FROM photos ORDER BY id",
    "DROP TABLE photos",
    "ALTER TABLE photos_new RENAME TO photos",
    "CREATE INDEX photos_content ON photos (content_id)",
    "CREATE INDEX photos_state ON photos (state)",
    "CREATE TRIGGER photos_words AFTER DELETE ON photos BEGIN DELETE FROM words WHERE rowid = old.id; END",
    "PRAGMA legacy_alter_table = OFF",
    *(
        f"ALTER TABLE {table} RENAME COLUMN content_id TO item_id"
        for table in ("embeddings", "regions", "captions", "ocr", "tags", "tagged")
    ),
    # Names that say what is meant.
    "DROP INDEX contents_facts",
    "ALTER TABLE contents RENAME COLUMN facts TO metadata_version",
    "CREATE INDEX contents_metadata_version ON contents (metadata_version)",
    "ALTER TABLE facts RENAME TO properties",
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)
