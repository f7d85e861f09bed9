"""Runs migrations on the connection that ``dreamlake.server.database`` hands over, inside its transaction."""

from alembic import context

from dreamlake.server.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
