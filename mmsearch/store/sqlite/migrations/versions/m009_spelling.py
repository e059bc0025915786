"""Words are stored as they are asked for, whatever the script: ``schema.upgrade`` fills the new table."""

from __future__ import annotations

from alembic import op

revision = "009"
down_revision = "008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP TABLE words")
    op.execute(
        "CREATE VIRTUAL TABLE words USING fts5(name, description, caption, ocr, tags, "
        "tokenize = \"porter unicode61 remove_diacritics 0 categories 'L* N* Co Mn Mc'\")"
    )
