"""Films and documents: what is known of a film, the frame that stands for a moment, words that belong to a part."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "011"
down_revision = "010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contents", sa.Column("duration_ms", sa.Integer))
    op.add_column("contents", sa.Column("fps", sa.Float))
    op.add_column("contents", sa.Column("codec", sa.String))
    op.add_column("contents", sa.Column("audio", sa.Boolean))
    op.add_column("items", sa.Column("at_ms", sa.Integer))
    op.create_index("items_parts", "items", ["content_id"], sqlite_where=sa.text("part > 0"))
    op.create_table(
        "part_texts",
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("text", sa.String, nullable=False),
    )
