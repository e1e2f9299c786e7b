"""Checks of a whole SQLite store."""

from sqlite3 import Connection

_RULES = {
    "The number of people of a collection is wrong": """
        SELECT name FROM collections
        WHERE people <> (SELECT count(*) FROM people WHERE people.collection = collections.key)
    """,
    "The number of faces of a collection is wrong": """
        SELECT name FROM collections
        WHERE faces <> (SELECT count(*) FROM faces WHERE faces.collection = collections.key)
    """,
    "The number of faces of a person is wrong": """
        SELECT hex(id) FROM people WHERE faces <> (SELECT count(*) FROM faces WHERE faces.person = people.key)
    """,
    "A person has no content": """
        SELECT hex(id) FROM people WHERE key NOT IN (SELECT key FROM person_contents)
    """,
    "A face has no content": """
        SELECT hex(id) FROM faces WHERE key NOT IN (SELECT key FROM face_contents)
    """,
    "A face is in another collection than its person": """
        SELECT hex(faces.id) FROM faces JOIN people ON people.key = faces.person
        WHERE faces.collection <> people.collection
    """,
    "A row refers to a missing one": "SELECT \"table\" || ' ' || rowid FROM pragma_foreign_key_check",
}
"""Queries that find nothing, by what is wrong if they find something."""


def problems(connection: Connection) -> list[str]:
    """Return what is wrong with the file; nothing if it is intact. It reads the whole file."""
    found = [text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
    for rule, query in _RULES.items():
        found += [f"{rule}: {name}" for (name,) in connection.execute(query)]
    return found
