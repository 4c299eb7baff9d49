from databases import database, postgresql_url

__all__ = ["database", "postgresql_url"]
