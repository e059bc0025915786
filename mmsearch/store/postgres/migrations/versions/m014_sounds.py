"""Audio files, which have no picture, and the identifier that a picture and its clip have from the camera.

A content of 0 x 0 pixels is sound alone; its items have rows without a vector, because pgvector knows no empty one.
"""

from __future__ import annotations

from alembic import op

revision = "014"
down_revision = "013"
branch_labels = None
depends_on = None

_STATEMENTS = (
    'ALTER TABLE contents ADD content_identifier text COLLATE "C"',
    "CREATE INDEX contents_content_identifier ON contents (content_identifier) WHERE content_identifier IS NOT NULL",
    "CREATE INDEX contents_sounds ON contents (id) WHERE width = 0",
    "ALTER TABLE embeddings ALTER vector DROP NOT NULL",
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)
