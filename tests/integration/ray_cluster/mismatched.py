"""The service, but its replicas do not fit it.

    python -m tests.integration.ray_cluster.mismatched FAULT serve --port PORT

FAULT is `weights`, if they have other weights than the front, or `models_dir`, if they have no models.
"""

import sys
from dataclasses import replace
from pathlib import Path

from app.cli import main
from app.replicas import front
from app.replicas.replica import ReplicaPlan
from app.settings import Settings

if __name__ == "__main__":
    fault = sys.argv.pop(1)
    right = front.replica_plan

    def wrong(settings: Settings, weights: dict[str, str]) -> ReplicaPlan:
        plan = right(settings, weights)
        if fault == "weights":
            return replace(plan, weights=dict.fromkeys(weights, "0" * 64))
        return replace(plan, settings=plan.settings | {fault: Path("/nowhere")})

    front.replica_plan = wrong
    main()
