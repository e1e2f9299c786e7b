"""The trend of memory, with made series."""

import numpy as np
import pytest

from app.runtime.device import Device
from benchmarks.gpu import memory
from benchmarks.gpu.memory import trend
from benchmarks.gpu.plan import Plan
from tests.benchmarks.gpu_plan import plan

IMAGES = list(range(50, 2001, 50))
NOISE = np.random.default_rng(0).normal(0, 4, len(IMAGES))


def test_noise_around_a_level_is_level() -> None:
    found = trend(IMAGES, list(600 + NOISE))
    assert found is not None
    assert found.level
    assert abs(found.per_thousand) < 5


def test_filling_at_the_beginning_is_level() -> None:
    found = trend(IMAGES, [300.0] * 5 + list(600 + NOISE[5:]))
    assert found is not None
    assert found.level


@pytest.mark.parametrize("per_image", [0.05, 1.0])
def test_a_leak_is_growth_and_its_slope_is_known(per_image: float) -> None:
    found = trend(
        IMAGES, [600 + per_image * count + noise for count, noise in zip(IMAGES, NOISE, strict=True)]
    )
    assert found is not None
    assert not found.level
    assert found.per_thousand == pytest.approx(1000 * per_image, rel=0.15)


def test_memory_that_is_given_back_is_level() -> None:
    found = trend(IMAGES, [900 - 0.1 * count for count in IMAGES])
    assert found is not None
    assert found.growth < 0
    assert found.level


def test_few_readings_have_no_trend() -> None:
    assert trend([50, 100], [1.0, 2.0]) is None
    assert trend([], []) is None


def test_a_leak_is_a_fault_of_a_whole_series_only() -> None:
    leak = [(count, 600.0 + count, 900.0) for count in IMAGES]
    assert memory._result(leak, 2000, small=False).faults == ["the memory of the process grows: +77.3%"]
    assert memory._result(leak[:-1], 2000, small=False).faults == []
    rows = memory._result(leak, 2000, small=False).tables[0].rows
    assert [row[0] for row in rows] == ["process", "GPU"]
    assert [row[-1] for row in rows] == ["growing", "level"]


def test_no_reading_of_the_gpu_is_not_a_trend() -> None:
    rows = memory._result([(count, 600.0, None) for count in IMAGES], 2000, small=False).tables[0].rows
    assert rows[1] == ["GPU", None, None, None]


def test_the_memory_is_that_of_the_gpu_of_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "used_and_total", lambda: [("cuda:0", 1 << 20, 9), ("cuda:1", 3 << 20, 9)])
    monkeypatch.setattr(Plan, "device", Device("cuda", index=1))
    assert memory._gpu_mib(plan()) == 3
    monkeypatch.setattr(Plan, "device", Device("cpu"))
    assert memory._gpu_mib(plan()) is None
