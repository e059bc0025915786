"""Town, people and rating of pictures, and date and place that files beside photos say."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "008"
down_revision = "007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("contents", "sidecars"):
        op.add_column(table, sa.Column("city", sa.String))
        op.add_column(table, sa.Column("people", sa.String))
        op.add_column(table, sa.Column("rating", sa.Integer))
    for before in ("", "later_"):
        op.add_column("sidecars", sa.Column(f"{before}taken_at", sa.String))
        op.add_column("sidecars", sa.Column(f"{before}latitude", sa.Float))
        op.add_column("sidecars", sa.Column(f"{before}longitude", sa.Float))
