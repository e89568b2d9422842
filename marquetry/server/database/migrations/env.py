"""Where Alembic begins: it migrates the connection that it is given."""

from alembic import context

from marquetry.server.automation import indexes  # noqa: F401  its tables are of this metadata
from marquetry.server.database.indexes import metadata
from marquetry.server.storage import tables  # noqa: F401  so are these

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
context.run_migrations()
