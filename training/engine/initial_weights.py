"""The weights with which a run starts: those of an earlier run, or published ones."""

from collections.abc import Callable
from pathlib import Path

import keras

from training.config import registry
from training.config.registry import BEST_WEIGHTS, Run, RunError
from training.config.schema import RunConfig
from training.importers.packages import SourceError

IMPORTED = "imported"
"""The value of `start_from` for published weights."""


def load_start(
    net: keras.Model, run: Run, config: RunConfig, folder: Path, imported: Callable[[], None] | None = None
) -> None:
    """Set the weights of a net to those that `start_from` of the config names.

    Args:
        net: the net.
        run: the run's module.
        config: the run's config, possibly with changes.
        folder: the folder of the run, beside that of the earlier run.
        imported: sets the net's weights to published ones; None if the kind of net has none.

    Raises:
        RunError: the earlier run is missing, damaged or of another net; the net has no published weights, or
            they cannot be fetched.
    """
    if not config.start_from:
        return
    if config.start_from == IMPORTED:
        if imported is None or run.CONFIG.start_from != IMPORTED:
            raise RunError(
                f"The net of {run.CONFIG.name} has no published weights. Set start_from to a run, or "
                "to nothing for random weights: --set start_from="
            )
        try:
            imported()
        except SourceError as error:
            raise RunError(" ".join(str(error).split())) from error  # an installer's output has many lines
        return
    path = folder.parent / config.start_from / BEST_WEIGHTS
    if not path.exists():
        raise RunError(_missing(config, path))
    registry.load_weights(net, path)


def _missing(config: RunConfig, path: Path) -> str:
    command = f"python -m training.train {config.start_from} --data DATA --out {path.parents[1]}"
    if config.start_from not in registry.names():
        command = f"python -m training.train RUN --name {config.start_from} --data DATA"
    return (
        f"{config.name} starts from the weights of the run {config.start_from}, and {path} does not exist. "
        f"Train that run first (`{command}`), or name another with --set start_from=NAME."
    )
