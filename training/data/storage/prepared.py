"""The folder that `training.prepare` writes: TFRecord files, and `prepare.json` with settings and counts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from app.errors import FacetError
from training.data.storage.data_hash import hash_tfrecords

REPORT = "prepare.json"

Kind = Literal["landmarks", "identities"]
"""The subcommand of `training.prepare` that wrote a set."""


class BadPreparedData(FacetError, ValueError):
    """A folder or file of prepared data is damaged, or of another kind."""


def read_report(folder: Path, kind: Kind) -> dict[str, Any]:
    """Return `prepare.json` of a prepared set, after a check that its TFRecord files are those it describes.

    Args:
        folder: the folder that `training.prepare` wrote.
        kind: the subcommand that writes such a set, for messages.

    Raises:
        BadPreparedData: the folder holds no prepared set, or a damaged one.
    """
    path = folder / REPORT
    if not path.is_file():
        raise BadPreparedData(
            f"{folder} holds no prepared data: there is no {path}. Write it with "
            f"`python -m training.prepare {kind}`."
        )
    try:
        report = json.loads(path.read_text())
    except ValueError as error:
        raise BadPreparedData(f"{path} is damaged. Run `training.prepare {kind}` again.") from error
    if report.get("sha256", hash_of := hash_tfrecords(folder)) != hash_of:
        raise BadPreparedData(
            f"The TFRecord files of {folder} are not those that its {REPORT} describes. One is damaged, "
            f"missing or from another set. Run `training.prepare {kind}` again."
        )
    return dict(report)


@contextmanager
def new_set(out: Path) -> Iterator[Path]:
    """Write a prepared set completely or not at all.

    Args:
        out: the folder of the set. A set that is there is replaced.

    Yields:
        An empty folder; when the body ends without an error, its files move to `out`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        yield Path(folder)
        out.mkdir(exist_ok=True)
        for old in [*out.glob("*.tfrecord"), *out.glob(REPORT)]:
            old.unlink()
        for path in sorted(Path(folder).iterdir()):
            path.replace(out / path.name)
