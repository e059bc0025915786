"""Tags that people give files, apart from those that a model says; and such of files whose rows gave way to others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "013"
down_revision = "012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "own_tags",
        sa.Column("photo_id", sa.Integer, sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("folded", sa.String, primary_key=True),
        sa.Column("tag", sa.String, nullable=False),
    )
    op.create_index("own_tags_folded", "own_tags", ["folded", "photo_id"])
    op.create_table(
        "waiting_tags",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("folded", sa.String, primary_key=True),
        sa.Column("tag", sa.String, nullable=False),
    )
