"""`facet`, but an image named `deadly.png` kills each process of `facet bulk` that reads it.

    python -m tests.integration.ray_cluster.deadly bulk ...

The file `deadly.png.log` beside the image gets a line for each process.
"""

import os
import signal

from app.bulk import cluster
from app.bulk.inputs import Reader
from app.bulk.worker import Job
from app.cli import main


class DeadlyReader(Reader):
    """Reads images as if the decoder had a fault."""

    def read(self, file: str) -> bytes:
        if file.endswith("deadly.png"):
            with open(f"{file}.log", "a") as log:
                log.write("killed\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(file)


class DeadlyActor(cluster._Actor):
    """An actor with such a reader."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._worker._reader = DeadlyReader(1 << 20)


if __name__ == "__main__":
    cluster._Actor = DeadlyActor  # type: ignore[misc]
    main()
