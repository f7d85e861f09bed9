"""The tables of a lake's database. Ids are ObjectIds (24 hex), times are seconds since the epoch."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

__all__ = [
    "api_keys",
    "assets",
    "bss_assets",
    "episodes",
    "jobs",
    "lakes",
    "metadata",
    "namespaces",
    "nodes",
    "projects",
    "signing_keys",
    "staged",
    "uploads",
    "vector_indexes",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", String(24), primary_key=True)


def _created() -> Column[float]:
    return Column("created_at", Float, nullable=False)


def _in_order(length: int) -> String:
    """Text in the order of its letters' numbers; PostgreSQL would take that of the database's language."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


# -- the storage service ---------------------------------------------------------------------------------------------

staged = Table(
    "staged",
    metadata,
    Column("owner", String(100), primary_key=True),
    Column("project", String(100), primary_key=True),
    Column("hash", String(64), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    _created(),
    Column("used_at", Float, nullable=False, server_default="0"),  # when somebody last asked for these bytes
    Column("collecting", Boolean, nullable=False, server_default="0"),  # about to be deleted: nobody may count on it
)

# ``hash`` names the file in the pool, and ``sha256`` is what it will hold; None when that was not announced. ``target``
# is the key that the storage writes to, ``storage_id`` its own name for the upload.
uploads = Table(
    "uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(100), nullable=False),
    Column("project", String(100), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("target", String(1024), nullable=False),
    Column("storage_id", String(1024), nullable=False),
    Column("sha256", String(64)),
    Column("used_at", Float, nullable=False, index=True),
    _created(),
    Index(None, "owner", "project", "hash"),
)

bss_assets = Table(
    "bss_assets",
    metadata,
    _id(),
    Column("kind", String(16), nullable=False),
    Column("owner", String(100), nullable=False),
    Column("project", String(100), nullable=False),
    Column("name", String(1024), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    _created(),
    UniqueConstraint("owner", "project", "kind", "name", "sha256"),
    Index(None, "owner", "project", "hash"),
)

jobs = Table(
    "jobs",
    metadata,
    _id(),
    Column("asset_id", String(24), ForeignKey("bss_assets.id", ondelete="CASCADE"), nullable=False),
    Column("action", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # queued, running, done, failed
    Column("attempts", Integer, nullable=False),
    Column("lease_owner", String(200)),
    Column("lease_until", Float),
    Column("progress", Float),
    Column("error", String(2000)),
    _created(),
    UniqueConstraint("asset_id", "action"),
    Index(None, "state", "created_at"),
)

# One row: what tells this lake from others that use the same storage.
lakes = Table("lakes", metadata, Column("identity", String(32), primary_key=True))

# Presigned URLs are the storage service's, and so are the keys that sign them.
signing_keys = Table(
    "signing_keys", metadata, Column("id", String(8), primary_key=True), Column("secret", String(64), nullable=False),
    _created(),
)  # fmt: skip

# -- the catalog -----------------------------------------------------------------------------------------------------

namespaces = Table("namespaces", metadata, _id(), Column("slug", String(100), nullable=False, unique=True), _created())

projects = Table(
    "projects",
    metadata,
    _id(),
    Column("namespace_id", String(24), ForeignKey("namespaces.id"), nullable=False),
    Column("slug", String(100), nullable=False),
    _created(),
    UniqueConstraint("namespace_id", "slug"),
)

episodes = Table(
    "episodes",
    metadata,
    _id(),
    Column("project_id", String(24), ForeignKey("projects.id"), nullable=False),
    Column("name", String(100), nullable=False),
    _created(),
    UniqueConstraint("project_id", "name"),
)

# A path is unique within its episode; ``scope`` is the episode's id, or the project's where there is no episode,
# because a NULL would make every row unique.
nodes = Table(
    "nodes",
    metadata,
    _id(),
    Column("project_id", String(24), ForeignKey("projects.id"), nullable=False),
    Column("episode_id", String(24), ForeignKey("episodes.id")),
    Column("scope", String(24), nullable=False),
    Column("parent_id", String(24), ForeignKey("nodes.id")),
    Column("kind", String(16), nullable=False),
    Column("name", _in_order(255), nullable=False),
    Column("path", _in_order(1024), nullable=False),
    _created(),
    UniqueConstraint("scope", "path"),
    Index(None, "parent_id", "name"),
    Index(None, "project_id", "scope", "path"),
    Index(None, "scope", "parent_id", "path"),
)

assets = Table(
    "assets",
    metadata,
    _id(),
    Column("node_id", String(24), ForeignKey("nodes.id"), nullable=False),
    Column("folder_id", String(24), ForeignKey("nodes.id")),
    Column("kind", String(16), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("bss_id", String(24), nullable=False),
    Column("metadata", JSON, nullable=False),
    _created(),
    UniqueConstraint("node_id", "bss_id"),
    Index(None, "bss_id"),
)

# ``digest`` is the SHA-256 of a key's secret, which its holder alone has.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("namespace", String(100), nullable=False, index=True),
    Column("scope", String(8), nullable=False),
    Column("label", String(100), nullable=False),
    Column("digest", String(64), nullable=False),
    _created(),
    Column("revoked_at", Float),
)

# -- vectors ---------------------------------------------------------------------------------------------------------

# The rows of an index are with LanceDB, in a table that is called by its id. ``ann`` is what was measured when its
# approximate index was made.
vector_indexes = Table(
    "vector_indexes",
    metadata,
    _id(),
    Column("project_id", String(24), ForeignKey("projects.id"), nullable=False),
    Column("path", _in_order(1024), nullable=False),
    Column("dim", Integer, nullable=False),
    Column("encoder", String(200)),
    Column("ann", JSON),
    _created(),
    UniqueConstraint("project_id", "path"),
)
