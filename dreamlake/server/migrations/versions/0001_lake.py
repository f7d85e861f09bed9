"""The first tables: staged files, assets of the storage service, jobs, and the catalog."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(24), primary_key=True)


def _created() -> sa.Column[float]:
    return sa.Column("created_at", sa.Float, nullable=False)


def upgrade() -> None:
    op.create_table(
        "staged",
        sa.Column("owner", sa.String(100), primary_key=True),
        sa.Column("project", sa.String(100), primary_key=True),
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        _created(),
    )
    op.create_table(
        "bss_assets",
        _id(),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("name", sa.String(1024), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        _created(),
        sa.UniqueConstraint("owner", "project", "kind", "name", "sha256"),
    )
    op.create_table(
        "jobs",
        _id(),
        sa.Column("asset_id", sa.String(24), sa.ForeignKey("bss_assets.id", ondelete="CASCADE"), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.String(200)),
        sa.Column("lease_until", sa.Float),
        sa.Column("progress", sa.Float),
        sa.Column("error", sa.String(2000)),
        _created(),
        sa.UniqueConstraint("asset_id", "action"),
    )
    op.create_index(op.f("ix_jobs_state_created_at"), "jobs", ["state", "created_at"])
    op.create_table("namespaces", _id(), sa.Column("slug", sa.String(100), nullable=False, unique=True), _created())
    op.create_table(
        "projects",
        _id(),
        sa.Column("namespace_id", sa.String(24), sa.ForeignKey("namespaces.id"), nullable=False),
        sa.Column("slug", sa.String(100), nullable=False),
        _created(),
        sa.UniqueConstraint("namespace_id", "slug"),
    )
    op.create_table(
        "episodes",
        _id(),
        sa.Column("project_id", sa.String(24), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        _created(),
        sa.UniqueConstraint("project_id", "name"),
    )
    op.create_table(
        "nodes",
        _id(),
        sa.Column("project_id", sa.String(24), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("episode_id", sa.String(24), sa.ForeignKey("episodes.id")),
        sa.Column("scope", sa.String(24), nullable=False),
        sa.Column("parent_id", sa.String(24), sa.ForeignKey("nodes.id")),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        _created(),
        sa.UniqueConstraint("scope", "path"),
    )
    op.create_index(op.f("ix_nodes_parent_id_name"), "nodes", ["parent_id", "name"])
    op.create_table(
        "assets",
        _id(),
        sa.Column("node_id", sa.String(24), sa.ForeignKey("nodes.id"), nullable=False),
        sa.Column("folder_id", sa.String(24), sa.ForeignKey("nodes.id")),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("bss_id", sa.String(24), nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        _created(),
        sa.UniqueConstraint("node_id", "bss_id"),
    )
    op.create_index(op.f("ix_assets_bss_id"), "assets", ["bss_id"])
