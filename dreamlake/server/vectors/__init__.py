"""Vector indexes: their records in the database, and their rows with LanceDB."""
