"""Vector indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    def text(length: int) -> sa.String:
        return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")

    op.create_table(
        "vector_indexes",
        sa.Column("id", text(24), primary_key=True),
        sa.Column("project_id", text(24), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("path", text(1024), nullable=False),
        sa.Column("dim", sa.Integer, nullable=False),
        sa.Column("encoder", text(200)),
        sa.Column("ann", sa.JSON),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.UniqueConstraint("project_id", "path"),
    )
