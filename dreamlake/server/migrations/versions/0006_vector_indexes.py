"""Vector indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    text = sa.String(1024).with_variant(sa.String(1024, collation="C"), "postgresql")
    op.create_table(
        "vector_indexes",
        sa.Column("id", sa.String(24), primary_key=True),
        sa.Column("project_id", sa.String(24), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("path", text, nullable=False),
        sa.Column("dim", sa.Integer, nullable=False),
        sa.Column("encoder", sa.String(200)),
        sa.Column("ann", sa.JSON),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.UniqueConstraint("project_id", "path"),
    )
