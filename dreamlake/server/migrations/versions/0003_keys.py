"""API keys, the keys that presigned URLs are signed with, and what tells this lake from all others."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(8), primary_key=True),
        sa.Column("namespace", sa.String(100), nullable=False),
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("revoked_at", sa.Float),
    )
    op.create_index(op.f("ix_api_keys_namespace"), "api_keys", ["namespace"])
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.String(8), primary_key=True),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    lakes = op.create_table("lakes", sa.Column("identity", sa.String(32), primary_key=True))
    op.bulk_insert(lakes, [{"identity": secrets.token_hex(16)}])
