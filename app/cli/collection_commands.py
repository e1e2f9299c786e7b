"""The commands `facet collections ...`: list, show, export, import, back up and delete collections."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field

from app.cli.common import Device, leave, open_models, settings_of
from app.cli.gallery_access import gallery_only, gallery_with_models, reporting_errors
from app.service.console import Progress, emit
from app.service.file_reading import reason
from app.service.local_files import line
from app.service.private_file import private_file
from app.settings import Settings

if TYPE_CHECKING:
    from app.gallery.records import Collection

Name = Annotated[str, typer.Argument(metavar="COLLECTION", help="Name of the collection.")]
File = Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="The file.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]

_ERASE_TIMEOUT_S = 5.0

_NOT_ERASED = (
    "It is deleted, but another process reads the file of the gallery, so that its bytes are not erased yet. "
    "Run `facet collections purge` when the other process is idle."
)

collections = typer.Typer(help="List, show, export, import, back up and delete collections of people.")


class Deleted(BaseModel):
    """What was deleted.

    Attributes:
        collection: name of the collection.
        person: id of the person; None if the whole collection was deleted.
        erased: whether no byte of it is left in the files of the gallery; None if these are a database's.
    """

    model_config = ConfigDict(frozen=True)

    collection: str
    person: str | None = Field(None, exclude_if=lambda person: person is None)
    erased: bool | None = Field(None, exclude_if=lambda erased: erased is None)


class Written(BaseModel):
    """A file that was written.

    Attributes:
        collection: name of the exported collection; None for a copy of all collections.
        bytes: size of the file.
    """

    model_config = ConfigDict(frozen=True)

    collection: str | None = Field(None, exclude_if=lambda collection: collection is None)
    bytes: int


@collections.callback(invoke_without_command=True)
def default(context: typer.Context, device: Device = None) -> None:
    """List, show, export, import, back up and delete collections of people."""
    if context.invoked_subcommand is None:
        list_(device)


@collections.command("list")
def list_(device: Device = None) -> None:
    """List the collections. Print one JSON line per collection."""
    settings = settings_of(device=device)
    with gallery_only(settings) as gallery:
        _print(settings, gallery.store.collections())


@collections.command()
def show(collection: Name, device: Device = None) -> None:
    """Print one JSON line with the numbers of people and faces of a collection."""
    settings = settings_of(device=device)
    with gallery_only(settings) as gallery:
        _print(settings, [gallery.store.collection(collection)])


@collections.command()
def people(
    collection: Name,
    name: Annotated[str | None, typer.Option(help="List only people whose name contains this text.")] = None,
) -> None:
    """List the people of a collection. Print one JSON line per person."""
    from app.service.gallery_requests import MAX_PAGE
    from app.service.gallery_responses import PersonInfo

    with gallery_only(settings_of()) as gallery:
        after = 0
        while page := gallery.store.people(collection, MAX_PAGE, after, name):
            for person in page:
                emit(PersonInfo.of(person).model_dump_json())
            after = page[-1].key


@collections.command()
def delete(
    collection: Name,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete it; without this option nothing is done.")
    ] = False,
) -> None:
    """Delete a collection with all its people and faces, and erase their bytes."""
    with gallery_only(settings_of()) as gallery:
        found = gallery.store.collection(collection)
        if not yes:
            leave(
                2,
                f"This deletes the collection {collection} with {found.people} people and {found.faces} "
                "faces. Repeat the command with --yes.",
            )
        erased = gallery.delete_collection(collection)
        _deleted(Deleted(collection=collection, erased=erased if gallery.store.erases else None))


@collections.command("delete-person")
def delete_person(
    collection: Name,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Id of the person.")],
) -> None:
    """Delete a person with all their faces, and erase their bytes."""
    with gallery_only(settings_of()) as gallery:
        erased = gallery.delete_person(collection, person)
        _deleted(
            Deleted(collection=collection, person=person, erased=erased if gallery.store.erases else None)
        )


@collections.command()
def export(collection: Name, file: File, force: Force = False) -> None:
    """Write the people of a collection with their faces and vectors to a file, as JSON lines."""
    from app.service.gallery_files import export_lines

    settings = settings_of()
    with gallery_only(settings) as gallery:
        found = gallery.store.collection(collection)
        with (
            _new_file(file, force, settings) as part,
            open(part, "xb") as out,
            Progress(found.people + 2, "line") as bar,
        ):
            for text in export_lines(found, gallery.records(collection)):
                out.write(text)
                bar.advance()
    emit(line({"file": str(file)}, Written(collection=collection, bytes=file.stat().st_size)))


@collections.command("import")
def import_(
    file: File,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection", "-c", metavar="NAME", help="Name of the collection; the exported name by default."
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Add the people and faces of an export to a collection, all or none. A missing one is created."""
    from app.gallery import clock
    from app.service.gallery_files import open_export
    from app.service.gallery_requests import check_collection_name
    from app.service.gallery_responses import CollectionInfo, ImportResponse
    from app.service.import_collection import import_collection

    settings = settings_of(device=device)
    try:
        source = open(file, "rb")  # noqa: SIM115 - the next statement closes it
    except OSError as error:
        leave(1, f"The file {file} cannot be read: {reason(error)}.")
    with source, reporting_errors(bad_parameter=1):
        content = open_export(source, clock.now())
        name = check_collection_name(collection or content.name)
        with gallery_with_models(settings, content.model) as operations, reporting_errors(bad_parameter=1):
            gallery = operations.gallery
            people, faces = import_collection(gallery, operations.analyzer, name, content)
            info = CollectionInfo.of(gallery.store.collection(name), usable=True)
    emit(ImportResponse(collection=info, people=people, faces=faces).model_dump_json())


@collections.command()
def purge(
    collection: Annotated[
        str | None, typer.Argument(metavar="[COLLECTION]", help="Name of a collection; all without it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List only what has expired.")] = False,
) -> None:
    """Delete what has expired, and erase the bytes of all that was deleted. Print one JSON line."""
    from app.service.gallery_responses import PurgeResponse

    with gallery_only(settings_of()) as gallery:
        found = gallery.expired(collection) if dry_run else gallery.purge(collection)
        emit(
            PurgeResponse(
                dry_run=dry_run,
                people=[person for one in found for person in one.people],
                faces=[face for one in found for face in one.faces],
            ).model_dump_json()
        )
        if not dry_run and not gallery.store.erase(_ERASE_TIMEOUT_S):
            leave(1, _NOT_ERASED)


@collections.command()
def backup(file: File, force: Force = False) -> None:
    """Write a consistent copy of the whole gallery to a file, while it is in use."""
    settings = settings_of()
    with gallery_only(settings) as gallery, _new_file(file, force, settings) as part:
        gallery.store.backup(part)
    emit(line({"file": str(file)}, Written(bytes=file.stat().st_size)))


def _print(settings: Settings, found: "Sequence[Collection]") -> None:
    """Print a line for each collection. Whether it is usable depends on the models, which are loaded."""
    from app.gallery_wiring import gallery_of
    from app.service.gallery_responses import CollectionInfo

    if not found:
        return
    models = open_models(settings, {"detect": None}, frozenset(one.model for one in found))
    gallery = gallery_of(settings, models.analyzer)
    assert gallery is not None  # the collections are from it
    for one in found:
        emit(CollectionInfo.of(one, gallery.is_usable(one)).model_dump_json())


def _deleted(result: Deleted) -> None:
    emit(result.model_dump_json())
    if result.erased is False:
        leave(1, _NOT_ERASED)


@contextmanager
def _new_file(file: Path, force: bool, settings: Settings) -> Iterator[Path]:
    """Yield the path to write a private file to, see `private_file`. It must not be a file of the gallery."""
    for suffix in ("", "-wal", "-shm"):
        own = settings.gallery + suffix
        if os.path.exists(own) and os.path.exists(file) and os.path.samefile(own, file):
            leave(2, f"The file {file} belongs to the gallery. Choose another name.")
    try:
        with private_file(file, force) as part:
            yield part
    except FileExistsError:
        leave(2, f"The file {file} exists. Choose another name, or overwrite it with --force.")
    except OSError as error:
        leave(1, f"{file} cannot be written: {reason(error)}.")
