"""Maintain the gallery in PostgreSQL: make the search indexes, rewrite the tables, or check the counters.

FACE_GALLERY names the database.
"""

import os

import psycopg
import typer
from psycopg import sql

from app.errors import FacetError, GalleryUnavailable
from app.gallery.postgres.checks import problems
from app.gallery.postgres.connections import Connections
from app.gallery.postgres.schema import INDEXES_WITHOUT_STATISTICS, drop_statistics
from app.gallery.postgres.search import index_name, index_sql

TABLES = ("faces", "people", "changes", "collections", "state")

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


def database() -> Connections:
    """Return the database that FACE_GALLERY names.

    Raises:
        GalleryUnavailable: it names none.
    """
    uri = os.environ.get("FACE_GALLERY", "")
    if not uri.startswith(("postgresql://", "postgres://")):
        raise GalleryUnavailable(
            "FACE_GALLERY names no database. Set it to postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        )
    return Connections(uri)


@cli.command()
def index() -> None:
    """Make the indexes that FACE_GALLERY_SEARCH=hnsw needs, while the gallery is in use.

    An index that was not completed is made again.
    """
    with database().alone() as connection:
        dimensions = connection.execute("SELECT DISTINCT dimension FROM facet.collections ORDER BY 1")
        for (dimension,) in dimensions.fetchall():
            name = index_name(dimension)
            valid = connection.execute(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (f"facet.{name}",)
            ).fetchone()
            if valid == (False,):
                drop = sql.SQL("DROP INDEX CONCURRENTLY facet.{}").format(sql.Identifier(name))
                connection.execute(drop)
            schema = connection.execute(
                "SELECT n.nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
                "WHERE extname = 'vector'"
            ).fetchone()
            assert schema is not None
            connection.execute("SELECT set_config('search_path', %s, false)", (f'"{schema[0]}"',))
            connection.execute(index_sql(dimension, "CONCURRENTLY").encode())
            connection.execute(INDEXES_WITHOUT_STATISTICS)
            typer.echo(f"{name}: complete")


@cli.command()
def erase() -> None:
    """Rewrite all tables, so that no bytes of deleted rows are in their files or in statistics.

    Nobody can use the gallery meanwhile. The write-ahead log, standbys and backups keep what they have.
    """
    with database().alone() as connection:
        connection.add_notice_handler(lambda notice: typer.echo(notice.message_primary))
        had_statistics = drop_statistics(connection)
        for table in TABLES:
            query = sql.SQL("VACUUM (FULL, ANALYZE) facet.{}").format(sql.Identifier(table))
            connection.execute(query)
        if had_statistics:
            connection.execute("VACUUM FULL pg_catalog.pg_statistic")
        typer.echo("The tables are rewritten.")
        for command in ("SELECT pg_switch_wal()", "CHECKPOINT"):
            try:
                connection.execute(command.encode())
            except psycopg.errors.InsufficientPrivilege:
                typer.echo(f"Let a superuser run: {command}")


@cli.command()
def check() -> None:
    """Compare the counters and references of the tables, and print what is wrong, or how much there is.

    Raises:
        typer.Exit: something is wrong.
    """
    with database().alone() as connection:
        found = problems(connection)
        for problem in found:
            typer.echo(problem)
        if found:
            raise typer.Exit(1)
        rows = connection.execute("SELECT name, people, faces FROM facet.collections ORDER BY name")
        for name, people, faces in rows.fetchall():
            typer.echo(f"{name}: {people} people, {faces} faces")


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: always, with the status.
    """
    try:
        cli(prog_name="python -m app.gallery.postgres")
    except FacetError as error:
        raise SystemExit(f"facet: {error.detail}") from None


if __name__ == "__main__":
    main()
