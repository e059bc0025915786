"""Words about photos: full-text search over names, descriptions, captions, read text and tags; hashes of looks."""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import op

from mmsearch.store.words.names import name_words

revision = "004"
down_revision = "003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contents", sa.Column("description", sa.String))
    op.add_column("contents", sa.Column("dhash", sa.LargeBinary))
    op.add_column("contents", sa.Column("facts", sa.Integer, nullable=False, server_default="0"))
    op.create_index("contents_facts", "contents", ["facts"])
    op.create_table(
        "ocr",
        sa.Column("content_id", sa.Integer, sa.ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("text", sa.String, nullable=False),
    )
    op.create_table(
        "tags",
        sa.Column("content_id", sa.Integer, sa.ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", sa.String, primary_key=True),
        sa.Column("vocabulary", sa.String, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
    )
    op.create_index("tags_tag", "tags", ["tag", "content_id"])
    op.create_table(
        "tagged",
        sa.Column("content_id", sa.Integer, sa.ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("vocabulary", sa.String, nullable=False),
    )
    op.create_table(
        "sidecars",
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("stamp", sa.String, nullable=False),
        sa.Column("text", sa.String, nullable=False),
    )
    op.execute(
        "CREATE VIRTUAL TABLE words USING fts5("
        "name, description, caption, ocr, tags, tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    op.execute("CREATE TRIGGER photos_words AFTER DELETE ON photos BEGIN DELETE FROM words WHERE rowid = old.id; END")
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT photos.id, photos.path, captions.text FROM photos "
            "LEFT JOIN captions ON captions.content_id = photos.content_id"
        )
    ).all()
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO words (rowid, name, description, caption, ocr, tags) "
                "VALUES (:id, :name, '', :said, '', '')"
            ),
            [{"id": number, "name": name_words(os.fsdecode(path)), "said": said or ""} for number, path, said in rows],
        )
