"""Back up or check the file of a gallery, which may be in use."""

from pathlib import Path
from typing import Annotated

import typer

from app.errors import FacetError
from app.gallery.sqlite_store import SqliteStore

Gallery = Annotated[
    Path, typer.Argument(metavar="GALLERY", exists=True, dir_okay=False, help="The file of the gallery.")
]
Copy = Annotated[Path, typer.Argument(metavar="COPY", help="A new file.")]

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@cli.command()
def backup(gallery: Gallery, copy: Copy) -> None:
    """Write a consistent copy of a gallery to a new file."""
    store = SqliteStore(gallery)
    try:
        store.backup(copy)
    finally:
        store.close()


@cli.command()
def check(gallery: Gallery) -> None:
    """Read a whole gallery and print what is wrong with it, or how much it contains.

    Raises:
        typer.Exit: something is wrong.
    """
    store = SqliteStore(gallery)
    try:
        problems = store.check()
        for problem in problems:
            typer.echo(problem)
        if problems:
            raise typer.Exit(1)
        for collection in store.collections():
            typer.echo(f"{collection.name}: {collection.people} people, {collection.faces} faces")
    finally:
        store.close()


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: always, with the status.
    """
    try:
        cli(prog_name="python -m app.gallery.sqlite")
    except FacetError as error:
        raise SystemExit(f"facet: {error.detail}") from None


if __name__ == "__main__":
    main()
