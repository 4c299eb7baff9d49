"""Everything the service remembers: SQLite or PostgreSQL, one set of statements, a whole transaction at a time."""
