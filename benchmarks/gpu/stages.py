"""Section: the time of each stage of a request by image size, without HTTP."""

from collections.abc import Iterator

from benchmarks import stages
from benchmarks.gpu.plan import Plan, Result, Table


def measure(plan: Plan) -> Iterator[Result]:
    """Measure the stages with the default models.

    Args:
        plan: the plan.

    Yields:
        The result.
    """
    provider, table = stages.milliseconds(plan.setting, rounds=1 if plan.small else 15)
    heads = ["image", *(f"{stage} ms" for stage in next(iter(table.values()))), "total ms"]
    rows = [[size, *times.values(), sum(times.values())] for size, times in table.items()]
    yield Result([Table(heads, rows)], [f"{provider}; one face in each image; one thread asks."])
