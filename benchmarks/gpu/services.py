"""The service as the sections measure it: on the device of the record, and nowhere else."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from app.runtime.device import PROVIDERS
from benchmarks.gpu.plan import Plan
from benchmarks.pictures import Ask, same
from benchmarks.served import Served, get, service

SIZE = (640, 480)
"""Width and height of the images."""

IMAGES = {"/detect": 1, "/embed": 1, "/verify": 2}
"""Images in a request, by route."""


def asks_of(route: str) -> list[Ask]:
    """Return the requests for a route: JPEGs of each photo."""
    return same(route, *SIZE, IMAGES[route])


@contextmanager
def on_device(plan: Plan, *, poll: float = 0.1, **settings: object) -> Iterator[Served]:
    """Run the service with all models on the device while the context is open.

    Args:
        plan: the plan.
        poll: seconds between two checks of readiness.
        settings: further settings of the service, by the name of the variable without FACE_.

    Yields:
        The service, when it is ready.
    """
    with service(poll=poll, device=plan.setting, gallery="off", **settings) as served:
        yield served


def require_device(served: Served, plan: Plan) -> None:
    """Check that every model of a service runs on the device.

    Raises:
        RuntimeError: one does not.
    """
    status, body = get(f"{served.url}/models")
    providers = set(re.findall(r'"provider":"([^"]*)"', body.decode()))
    if status != 200 or providers != {PROVIDERS[plan.device.kind]}:
        raise RuntimeError(
            f"/models of the service has status {status} and the providers {sorted(providers)}"
        )
