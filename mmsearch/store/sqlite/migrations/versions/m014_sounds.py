"""Audio files, which have no picture, and the identifier that a picture and its clip have from the camera.

A content of 0 x 0 pixels is sound alone; its items have vectors of no bytes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "014"
down_revision = "013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contents", sa.Column("content_identifier", sa.String))
    op.create_index(
        "contents_content_identifier", "contents", ["content_identifier"],
        sqlite_where=sa.text("content_identifier IS NOT NULL"),
    )  # fmt: skip
    op.create_index("contents_sounds", "contents", ["id"], sqlite_where=sa.text("width = 0"))
