"""Checks of all tables of the PostgreSQL store."""

from typing import Any

import psycopg

_RULES = {
    "The number of people of a collection is wrong": """
        SELECT name FROM facet.collections c
        WHERE people <> (SELECT count(*) FROM facet.people p WHERE p.collection = c.key)
    """,
    "The number of faces of a collection is wrong": """
        SELECT name FROM facet.collections c
        WHERE faces <> (SELECT count(*) FROM facet.faces f WHERE f.collection = c.key)
    """,
    "The number of faces of a person is wrong": """
        SELECT encode(p.id, 'hex') FROM facet.people p
        LEFT JOIN (SELECT person, count(*) AS faces FROM facet.faces GROUP BY person) f ON f.person = p.key
        WHERE p.faces <> coalesce(f.faces, 0)
    """,
    "A face is in another collection than its person": """
        SELECT encode(f.id, 'hex') FROM facet.faces f JOIN facet.people p ON p.key = f.person
        WHERE f.collection <> p.collection
    """,
}
"""Queries that find nothing, by what is wrong if they find something."""


def problems(connection: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    """Return what is wrong with the tables; nothing if they are intact. It reads all of them."""
    return [
        f"{rule}: {name}"
        for rule, query in _RULES.items()
        for (name,) in connection.execute(query.encode()).fetchall()
    ]
