"""What of a picture could not be read; and files that could not be read at all are tried again, by a reader of more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "007"
down_revision = "006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contents", sa.Column("damage", sa.String))
    op.execute("UPDATE photos SET mtime_ns = -1 WHERE state = 'failed'")
