"""Opens the gallery for the commands that use it.

The modules of the gallery are imported here inside functions, so that the other commands start without them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import leave, open_models
from app.errors import BadParameter, FacetError, UnknownId, UnknownModel
from app.settings import Settings

if TYPE_CHECKING:
    from app.gallery.gallery import Gallery
    from app.service.gallery_operations import GalleryOperations

CollectionName = Annotated[
    str | None,
    typer.Argument(metavar="COLLECTION", show_default=False, help="Name of a collection."),
]

_JUDGE = frozenset({"fused"})
"""The model that measures the quality of faces."""


@contextmanager
def reporting_errors(bad_parameter: int = 2) -> Iterator[None]:
    """End the command with the status 1 if it raises an error of Facet.

    Args:
        bad_parameter: the status for an invalid parameter.

    Raises:
        Exit: it does.
    """
    try:
        yield
    except FacetError as error:
        leave(bad_parameter if isinstance(error, BadParameter) else 1, " ".join(error.detail.split()))


@contextmanager
def gallery_only(settings: Settings) -> Iterator["Gallery"]:
    """Open the existing gallery without models, and close it; see `gallery_without_models`.

    Yields:
        The gallery.

    Raises:
        Exit: it is switched off, or there is none.
    """
    from app.gallery_wiring import gallery_without_models, has_gallery

    with reporting_errors():
        gallery = gallery_without_models(settings)
        if not has_gallery(settings):  # opening would create it
            leave(
                1,
                f"There is no gallery: the file {settings.gallery} does not exist. `facet enrol` creates it, "
                "or FACE_GALLERY names another file.",
            )
        try:
            yield gallery
        finally:
            gallery.close()


@contextmanager
def gallery_with_models(
    settings: Settings, model: str | None, collection: str | None = None, must_exist: bool = False
) -> Iterator["GalleryOperations"]:
    """Load the models that an embedder needs, open the gallery, delete what has expired, and close it.

    Args:
        settings: the settings.
        model: name of the embedder; None is that of the collection, or the default one.
        collection: name of a collection.
        must_exist: whether the collection must exist.

    Yields:
        The operations on the gallery.

    Raises:
        Exit: an error of Facet occurs.
    """
    from app.gallery.gallery import SWITCHED_OFF
    from app.gallery_wiring import gallery_of, has_gallery
    from app.service.gallery_operations import GalleryOperations

    with reporting_errors():
        present = None if collection is None else _model_of(settings, collection, must_exist)
        try:
            operations = open_models(settings, {"detect": None, "embed": model or present}, _JUDGE)
        except UnknownModel as error:
            owner = f"The vectors of the collection {collection} were made by the model {present}. "
            leave(1, (owner if model is None and present is not None else "") + error.detail)
        gallery = gallery_of(settings, operations.analyzer)
        if gallery is None:
            leave(1, SWITCHED_OFF)
        try:
            if has_gallery(settings):
                gallery.purge_due()
            yield GalleryOperations(operations, gallery)
        finally:
            gallery.close()


def _model_of(settings: Settings, collection: str, must_exist: bool) -> str | None:
    """Return the name of the embedder of a collection; None if it need not exist, and does not.

    Raises:
        UnknownId: it must exist, and does not.
    """
    from app.gallery_wiring import has_gallery

    if not must_exist and not has_gallery(settings):
        return None
    with gallery_only(settings) as gallery:
        try:
            return gallery.store.collection(collection).model
        except UnknownId:
            if must_exist:
                raise
            return None
