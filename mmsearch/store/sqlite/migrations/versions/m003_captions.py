"""Generated captions, one a content."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "003"
down_revision = "002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "captions",
        sa.Column("content_id", sa.Integer, sa.ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("reranker", sa.String, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
    )
