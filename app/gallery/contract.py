"""Embedding contracts: which vectors can be compared with each other.

The id of a contract covers all that makes the vectors of an embedder: its nets, those that align faces for
it, their input, and the code of the alignment. It does not cover what keeps vectors comparable: calibration,
and int8 files, whose vectors have a cosine of 0.999 or more to those of the float files.
"""

import hashlib
import json

from app.errors import BadParameter
from app.pipeline.analyzer import Analyzer
from app.runtime.model_store import LoadedModel

ALIGNMENT = 1
"""Version of the code that finds and aligns faces. A change that moves vectors of the same net by more than a
search of another scale does needs another number. `tests/contract/test_embedding_contract.py` compares them
with stored vectors; docs/experiments/face-selection.md has the limit."""

_REWRITTEN = {
    "a287ce7079ff596b927d9f1a8480c25e55ddaae726f2fcfa0f6ec9a0c81bd3c3": (
        "ca6fc46c08b59bb22e8c69f5e63f3260ed43cf2eafa73b5ccf4306e4fd596822"  # P-Net of cascade
    ),
    "f9c50e46e1cdc01f52d2527a6ebd2cb817f4dff2ba1723013f3652d0122465a9": (
        "40e9dec9c1540566b914f631f920e208744fea004ae16b910dc975224c38875d"  # P-Net of mtcnn
    ),
}
"""Hashes of graphs that compute the same as an earlier one, with the hash of that one. Contracts keep it."""

_FIELDS = {"size", "template", "flip_average", "extent", "crop", "parts", "inputs", "dimension", "mesh"}
"""The fields of specs that change vectors."""


def contract_of(analyzer: Analyzer, embedder: str) -> str:
    """Return the id of the contract of an embedder's vectors.

    Args:
        analyzer: the models.
        embedder: name of the embedder.

    Returns:
        The name of the embedder and 16 hexadecimal digits.

    Raises:
        UnknownModel: no loaded embedder has this name.
        BadParameter: the embedder compares faces by a net, not by the cosine of vectors.
    """
    spec = analyzer.embedder(embedder).spec
    if spec.metric != "cosine":
        by_cosine = ", ".join(sorted(e.spec.model for e in analyzer.embedders.values() if _by_cosine(e.spec)))
        raise BadParameter(
            f"The model {spec.model} compares two faces by a net, so that it neither searches a gallery nor "
            f"finds clusters. Choose one of: {by_cosine}.",
            "model",
        )
    models = {model.entry.name: model for model in analyzer.models}
    used = [spec.model, *models[spec.model].entry.needs, analyzer.detector(None).name]
    content = {"alignment": ALIGNMENT, "models": [_net(models[name]) for name in dict.fromkeys(used)]}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{spec.model}-{digest[:16]}"


def _by_cosine(spec: object) -> bool:
    return getattr(spec, "metric", None) == "cosine"


def _net(model: LoadedModel) -> dict[str, object]:
    """Return what makes the outputs of a model: its float nets and the fields of their specs."""
    return {
        "files": [
            _REWRITTEN.get(file.graph, file.graph) if file.graph else file.sha256
            for file in model.entry.files
        ],
        "specs": {
            stage: session.spec.model_dump(mode="json", include=_FIELDS)
            for stage, session in sorted(model.sessions.items())
        },
    }
