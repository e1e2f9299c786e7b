"""The schema of the SQLite store, as migrations. `PRAGMA user_version` is the number of those that were run.

Integers, random ids and times are in `people` and `faces`; what is personal is in the tables of contents,
whose layout `contents.py` explains. Triggers count people and faces, and note each change of a face.
"""

from app.gallery.rules import KEPT_CHANGES

APPLICATION_ID = 0x46616365
"""`PRAGMA application_id` of the store's files: "Face" in ASCII."""

_FIRST = (
    """
    CREATE TABLE collections (
      key INTEGER PRIMARY KEY AUTOINCREMENT,
      name TEXT NOT NULL UNIQUE,
      model TEXT NOT NULL,
      contract TEXT NOT NULL,
      dimension INTEGER NOT NULL,
      salt BLOB NOT NULL,
      people INTEGER NOT NULL DEFAULT 0,
      faces INTEGER NOT NULL DEFAULT 0,
      created INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE people (
      key INTEGER PRIMARY KEY AUTOINCREMENT,
      collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
      id BLOB NOT NULL,
      external_hash INTEGER,
      faces INTEGER NOT NULL DEFAULT 0,
      created INTEGER NOT NULL,
      expires INTEGER,
      UNIQUE (collection, id)
    ) STRICT
    """,
    "CREATE INDEX people_by_collection ON people (collection)",
    """
    CREATE INDEX people_by_external_hash ON people (collection, external_hash)
    WHERE external_hash IS NOT NULL
    """,
    "CREATE INDEX people_by_expiry ON people (expires) WHERE expires IS NOT NULL",
    """
    CREATE TABLE person_contents (
      key INTEGER PRIMARY KEY REFERENCES people ON DELETE CASCADE,
      filler BLOB NOT NULL,
      content BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE faces (
      key INTEGER PRIMARY KEY AUTOINCREMENT,
      collection INTEGER NOT NULL,
      person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
      id BLOB NOT NULL,
      created INTEGER NOT NULL,
      expires INTEGER,
      UNIQUE (collection, id)
    ) STRICT
    """,
    "CREATE INDEX faces_by_collection ON faces (collection)",
    "CREATE INDEX faces_by_person ON faces (person)",
    "CREATE INDEX faces_by_expiry ON faces (expires) WHERE expires IS NOT NULL",
    """
    CREATE TABLE face_contents (
      key INTEGER PRIMARY KEY REFERENCES faces ON DELETE CASCADE,
      filler BLOB NOT NULL,
      content BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE changes (
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      collection INTEGER NOT NULL,
      face INTEGER NOT NULL,
      person INTEGER
    ) STRICT
    """,
    """
    CREATE TRIGGER person_added AFTER INSERT ON people BEGIN
      UPDATE collections SET people = people + 1 WHERE key = NEW.collection;
    END
    """,
    """
    CREATE TRIGGER person_deleted AFTER DELETE ON people BEGIN
      UPDATE collections SET people = people - 1 WHERE key = OLD.collection;
    END
    """,
    """
    CREATE TRIGGER face_added AFTER INSERT ON faces BEGIN
      UPDATE collections SET faces = faces + 1 WHERE key = NEW.collection;
      UPDATE people SET faces = faces + 1 WHERE key = NEW.person;
      INSERT INTO changes (collection, face, person) VALUES (NEW.collection, NEW.key, NEW.person);
    END
    """,
    """
    CREATE TRIGGER face_deleted AFTER DELETE ON faces BEGIN
      UPDATE collections SET faces = faces - 1 WHERE key = OLD.collection;
      UPDATE people SET faces = faces - 1 WHERE key = OLD.person;
      INSERT INTO changes (collection, face, person) VALUES (OLD.collection, OLD.key, NULL);
    END
    """,
    """
    CREATE TRIGGER face_moved AFTER UPDATE OF person ON faces WHEN NEW.person <> OLD.person BEGIN
      UPDATE people SET faces = faces - 1 WHERE key = OLD.person;
      UPDATE people SET faces = faces + 1 WHERE key = NEW.person;
      INSERT INTO changes (collection, face, person) VALUES (NEW.collection, NEW.key, NEW.person);
    END
    """,
    f"""
    CREATE TRIGGER change_added AFTER INSERT ON changes BEGIN
      DELETE FROM changes WHERE number <= NEW.number - {KEPT_CHANGES};
    END
    """,
)

MIGRATIONS = (_FIRST,)
"""The statements that lead from each version to the next. A published one is never changed."""
