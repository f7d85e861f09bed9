"""Uploads under way, which reserve their names, and staged files that are being collected."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("target", sa.String(1024), nullable=False),
        sa.Column("storage_id", sa.String(1024), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("used_at", sa.Float, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_index(op.f("ix_uploads_owner_project_hash"), "uploads", ["owner", "project", "hash"])
    op.create_index(op.f("ix_uploads_used_at"), "uploads", ["used_at"])
    op.add_column("staged", sa.Column("used_at", sa.Float, nullable=False, server_default="0"))
    op.add_column("staged", sa.Column("collecting", sa.Boolean, nullable=False, server_default="0"))
    op.create_index(op.f("ix_bss_assets_owner_project_hash"), "bss_assets", ["owner", "project", "hash"])
