"""Search: listings by their words, facets and orders. One interface over SQLite's FTS5, PostgreSQL's text search and Elasticsearch."""
