"""What listings walk along: the nodes of a space and of a folder, in the order of their paths."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # whose own order depends on the language of the database
        for column, length in (("path", 1024), ("name", 255)):
            op.alter_column("nodes", column, type_=sa.String(length, collation="C"))
    op.create_index(op.f("ix_nodes_project_id_scope_path"), "nodes", ["project_id", "scope", "path"])
    op.create_index(op.f("ix_nodes_scope_parent_id_path"), "nodes", ["scope", "parent_id", "path"])
