"""What the tests of the GPU record share."""

import time

from benchmarks.gpu.plan import Measure, Plan, Result


def plan(seconds: float = 60, gpu: str = "") -> Plan:
    """Return a small plan for the CPU."""
    return Plan("cpu", time.monotonic() + seconds, small=True, gpu=gpu)


def last(measure: Measure, plan: Plan) -> Result:
    """Return the last result of a section."""
    *_, result = measure(plan)
    return result
