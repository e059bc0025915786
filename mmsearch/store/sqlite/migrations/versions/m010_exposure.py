"""How pictures were exposed, and their label; ``METADATA_VERSION`` and the stamps of sidecars have them read again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "010"
down_revision = "009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("contents", "sidecars"):
        op.add_column(table, sa.Column("label", sa.String))
    op.add_column("contents", sa.Column("iso", sa.Integer))
    for name in ("aperture", "exposure", "focal"):
        op.add_column("contents", sa.Column(name, sa.Float))
