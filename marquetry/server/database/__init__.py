"""The database: tables, migrations, and one writer that commits for everybody."""
