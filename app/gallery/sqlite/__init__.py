"""The parts of the SQLite store: schema, layout of the contents, connections, queries."""
