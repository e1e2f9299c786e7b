"""The parts of the PostgreSQL store. Only they import psycopg."""
