"""What a spec says of its weights: name, licence, and the data that they were trained on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from app.vision.spec import UNSPECIFIED_LICENCE
from training.config.origins import Origin, origin_of
from training.config.registry import RunError

RESEARCH_ONLY = "LicenseRef-research-only"
"""Licence of weights that inherit the terms of a research data set."""

RESEARCH_SETS = {
    "300w": "300-W (HELEN, AFW, LFPW training parts)",
    "wider": "WIDER FACE",
    "mtfl5": "MTFL",
    "pseudolabels": "labels by a net for research only",
}
"""Data sets whose terms allow research only, by their names in `run.json`."""

RESEARCH_PEOPLE = {"celeba": "CelebA", "vggface": "VGGFace", "vggface2": "VGGFace2", "lfw": "LFW"}
"""The same for images of people, by a word in `KIND:FOLDER`."""

RESEARCH_LABELS = {word: RESEARCH_SETS["300w"] for word in ("300w", "ibug", "helen", "afw", "lfpw")}
RESEARCH_LABELS |= {"wider": "WIDER FACE"}
"""The same for `.pts` files and boxes."""

_FORMATS = {"kaggle15": "Kaggle's Facial Keypoints format"}


@dataclass(frozen=True)
class Attribution:
    """What all specs of a product say of its weights.

    Attributes:
        name: name of the product.
        licence: an SPDX expression.
        research_only: whether the licence forbids commercial use.
        source: what the user calls the data; None for the names that the runs record.
    """

    name: str
    licence: str
    research_only: bool
    source: str | None = None


def attribution_of(
    runs: Sequence[Path], name: str, licence: str | None = None, source: str | None = None
) -> Attribution:
    """Return what the specs of a product of these runs say of its weights.

    Weights that were trained on a research data set, or started from such weights, are for research only. Of
    others nothing is said unless the user names a licence.

    Args:
        runs: folders of the runs.
        name: name of the product.
        licence: the licence that the user names, an SPDX expression.
        source: what the user calls the data.

    Raises:
        RunError: the licence or the source is invalid, or the data does not allow to choose a licence.
        FileNotFoundError: a folder holds no run.
    """
    if source is not None and not (source.strip() and source.isprintable()):
        raise RunError(
            f"--source {source!r} must be a line of text. Leave it out for the names of the folders."
        )
    reason = _reason_against_licence([origin_of(run) for run in runs])
    if licence is None:
        chosen = RESEARCH_ONLY if reason else UNSPECIFIED_LICENCE
    else:
        chosen = _canonical(licence)
        if reason:
            raise RunError(f"--licence cannot be given, because {reason}. Leave it out.")
    return Attribution(name, chosen, _forbids_commerce(chosen), source)


def _reason_against_licence(origins: Sequence[Origin]) -> str:
    """Return why the weights are for research only; empty if nothing says so."""
    sets = [_research_set(source) for origin in origins for source in origin.sources]
    if known := dict.fromkeys(filter(None, sets)):
        return f"the weights come from {' and '.join(known)}, whose terms allow research only"
    if unknown := next((origin.unknown_start for origin in origins if origin.unknown_start), ""):
        return (
            f"the weights started from those of the run {unknown}, whose data is not recorded, and whose "
            "folder is not beside the run"
        )
    return ""


def _research_set(source: str) -> str | None:
    """Return the research data set that a source is; None if it is none."""
    if ":" not in source:
        return RESEARCH_SETS.get(source)
    words = re.split(r"[^a-z0-9]+", source.lower())
    known = RESEARCH_LABELS if words[0] in ("pts", "boxes") else RESEARCH_PEOPLE
    return next((known[word] for word in words if word in known), None)


def in_words(sources: Sequence[str]) -> str:
    """Return data sets in words.

    Args:
        sources: their names in `run.json`.
    """
    named = (
        _research_set(source) or _FORMATS.get(source) or f"the folder {source.rpartition(':')[2]}"
        for source in sources
    )
    return " and ".join(dict.fromkeys(named))


def _canonical(licence: str) -> str:
    try:
        return canonicalize_license_expression(licence)
    except InvalidLicenseExpression as error:
        raise RunError(
            f"--licence {licence!r} is not an SPDX licence expression. Give one such as MIT, CC-BY-4.0 or "
            "LicenseRef-my-terms."
        ) from error


def _forbids_commerce(licence: str) -> bool:
    """Return whether each alternative of an SPDX expression is known to forbid commercial use."""
    marks = ("-NC-", "NONCOMMERCIAL", RESEARCH_ONLY.upper())
    return all(any(mark in part.upper() for mark in marks) for part in licence.split(" OR "))
