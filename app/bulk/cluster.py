"""Runs a job on a Ray cluster: Ray Data gives the parts to a pool of actors, each with a worker."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from typing import Any

from app.bulk.errors import BulkError
from app.bulk.plan import Part
from app.bulk.worker import Job, Outcome, Worker
from app.errors import CannotStart
from app.runtime.ray_connection import connect, disconnect

_RETRIES = 3
"""How often a part is started again whose actor has died, before the run ends."""


class RayCluster:
    """A Ray cluster.

    Args:
        address: `local` or `host:port`.
        actors: number of actors; None for as many as the cluster has room for.
        cpus: CPUs of each. With one, the actors share no lock of Python, and images are processed fastest;
            with more, fewer copies of the models are in memory.
    """

    def __init__(self, address: str, actors: int | None, cpus: int = 1) -> None:
        self._address = address
        self._actors = actors
        self._cpus = cpus

    @contextmanager
    def connected(self) -> Iterator["RayPool"]:
        """Connect to the cluster, and disconnect. Ray reports no usage statistics, and starts no dashboard.

        Yields:
            The actors.

        Raises:
            BulkError: there is no cluster at the address, or it has no room for an actor.
        """
        try:
            with _without_messages():
                connect(self._address)  # sets variables that Ray reads when it is imported
        except CannotStart as error:
            raise BulkError(error.detail) from error
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        try:
            # Ray prints there what becomes of its processes, also between the lines of the progress bar.
            with open(os.devnull, "w") as null, redirect_stdout(null):
                yield self._pool()
        finally:
            disconnect()

    def _pool(self) -> "RayPool":
        import ray

        listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call, unused-ignore]
        nodes = [int(node["Resources"].get("CPU", 0)) for node in listed if node["Alive"]]
        room = sum(count // self._cpus for count in nodes)
        if room == 0:
            raise BulkError(
                f"No node of the cluster has {self._cpus} CPUs for an actor. The nodes have {sorted(nodes)} "
                "CPUs: set a lower number with --threads."
            )
        return RayPool(self._actors or room, self._cpus)


class RayPool:
    """Actors of the connected cluster.

    Args:
        actors: number of actors.
        cpus: CPUs of each.

    Attributes:
        actors: number of actors.
        cpus: CPUs of each.
    """

    def __init__(self, actors: int, cpus: int) -> None:
        self.actors = actors
        self.cpus = cpus

    def outcomes(self, job: Job, parts: Sequence[Part]) -> Iterator[Outcome]:
        """Process parts, and yield what became of each as soon as it is written.

        If an actor or its machine is lost, another one processes its part again.

        Args:
            job: what the workers do.
            parts: the parts.

        Yields:
            The outcome of a part.

        Raises:
            BulkError: the cluster cannot go on.
        """
        import ray
        import ray.data

        items = [{"part": json.dumps(asdict(part))} for part in parts]
        with warnings.catch_warnings():
            # Until Ray 2.64, only this way limits the retries. Without a limit, an image that ends the
            # process of its actor, for example by a fault in a decoder, would be tried for ever.
            warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated", DeprecationWarning)
            results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
                _Actor,
                fn_constructor_args=(job,),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=self.actors, initial_size=self.actors
                ),
                num_cpus=self.cpus,
                max_task_retries=_RETRIES,
            )
        try:
            for row in results.iter_rows():
                yield Outcome(**json.loads(row["outcome"]))
        except ray.exceptions.RayActorError as error:
            if "creation task" in str(error):
                raise BulkError(f"The actors cannot start: {_one_line(error)}") from error
            raise BulkError(
                f"The process of an actor has died {1 + _RETRIES} times on the same part. Perhaps an image "
                "breaks a decoder, or there is too little memory for so many --actors. Complete parts are "
                f"kept. The logs of Ray, in /tmp/ray/session_latest/logs, say more: {_one_line(error)}"
            ) from error
        except ray.exceptions.RayError as error:
            raise BulkError(f"The cluster cannot go on: {_one_line(error)}") from error


class _Actor:
    """An actor of the cluster.

    Args:
        job: what its worker does.
    """

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        part = Part(**json.loads(batch["part"][0]))
        outcome = self._worker.process(part.plan, part.number, part.name)
        return {"outcome": [json.dumps(asdict(outcome))]}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@contextmanager
def _without_messages() -> Iterator[None]:
    """Discard what libraries print to standard error, such as that their level of messages is set.

    Yields:
        None.
    """
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
