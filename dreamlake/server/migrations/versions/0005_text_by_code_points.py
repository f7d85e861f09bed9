"""Text is ordered by its code points in PostgreSQL too, whatever language its database is for.

Without that a page that ends at a name would not go on behind it in the same order, and no index would serve a prefix.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return  # SQLite compares bytes
    inspector = sa.inspect(connection)
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            kind = column["type"]
            if isinstance(kind, sa.String) and kind.collation != "C" and table != "alembic_version":
                op.alter_column(table, column["name"], type_=sa.String(kind.length, collation="C"))
