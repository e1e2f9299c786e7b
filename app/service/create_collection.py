"""Creates a collection for the vectors of an embedder."""

from app.errors import OtherEmbedding
from app.gallery.contract import contract_of
from app.gallery.gallery import Gallery
from app.gallery.records import Collection
from app.pipeline.analyzer import Analyzer


def create_collection(
    gallery: Gallery, analyzer: Analyzer, collection: str, model: str | None
) -> tuple[Collection, bool]:
    """Create a collection if there is none of this name.

    Args:
        gallery: the gallery.
        analyzer: the models.
        collection: name of the collection.
        model: name of the embedder; None is the default one, or that of the existing collection.

    Returns:
        The collection, and whether it is new.

    Raises:
        UnknownModel: no loaded embedder has this name.
        BadParameter: the embedder does not compare vectors.
        OtherEmbedding: the collection exists with another model than the given one.
    """
    embedder = analyzer.embedder(model)
    name = embedder.spec.model
    contract_of(analyzer, name)
    found, is_new = gallery.create_collection(collection, name, embedder.spec.dimension)
    if model is not None and found.model != name:
        raise OtherEmbedding(
            f"The collection {collection} exists, and its model is {found.model}, not {name}. Use it without "
            "naming a model, or choose another name.",
            "model",
        )
    return found, is_new
