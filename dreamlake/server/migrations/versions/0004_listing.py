"""What listings walk along: the nodes of a space and of a folder, in the order of their paths."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index(op.f("ix_nodes_project_id_scope_path"), "nodes", ["project_id", "scope", "path"])
    op.create_index(op.f("ix_nodes_scope_parent_id_path"), "nodes", ["scope", "parent_id", "path"])
