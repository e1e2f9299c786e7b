"""The simulation of the capacity plan: against queueing theory; no request is forgotten."""

import numpy as np
import pytest

from benchmarks.queueing import Fleet, Load, Machine, replicas_for, simulate

ENDLESS = 1_000_000


def machine(cores: int = 1, workers: int = ENDLESS, queue: int = 0, parallel: float = 1.0) -> Machine:
    return Machine(cores, workers, queue, parallel, start_s=5)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.9])
def test_the_mean_time_of_one_shared_core(share: float) -> None:
    """M/G/1 with processor sharing: service / (1 - load), whatever the spread of the service."""
    for service in (np.array([0.1]), np.random.default_rng(0).exponential(0.1, 20_000)):
        mean = float(service.mean())
        result = simulate(Load(share / mean, service), machine(), Fleet(1), 4000)
        assert np.mean(result.took) == pytest.approx(mean / (1 - share), rel=0.15)


def test_refused_requests_follow_erlang_b() -> None:
    """M/G/c/c: four cores, four worker threads and no queue."""
    offered = 3.0
    terms = [offered**n / np.prod(range(1, n + 1), initial=1.0) for n in range(5)]
    result = simulate(Load(offered / 0.1, np.array([0.1])), machine(4, 4), Fleet(1), 800)
    assert result.refused / result.requests == pytest.approx(terms[4] / sum(terms), rel=0.1)


def test_the_most_that_a_replica_does() -> None:
    result = simulate(Load(100, np.array([0.05])), machine(2, 4, 28, 1.7), Fleet(1), 100)
    assert len(result.took) / 100 == pytest.approx(40, rel=0.02)
    assert result.milliseconds(99)[0] == pytest.approx(32 * 0.05 / 2 * 1e3, rel=0.05)  # 32 requests in all


def test_a_request_alone_uses_its_cores() -> None:
    result = simulate(Load(0.01, np.array([0.05])), machine(2, 4, 28, 1.7), Fleet(1), 2000)
    assert result.took == pytest.approx([0.05 / 1.7] * len(result.took))


def test_every_request_is_answered_refused_or_lost() -> None:
    load = Load(80, np.array([0.05]), burst=3, burst_s=5, burst_every_s=20)
    with_faults = simulate(load, machine(2, 4, 8), Fleet(2, failure_every_s=10), 200, seed=3)
    without = simulate(load, machine(2, 4, 8), Fleet(9), 200, seed=3)
    assert with_faults.lost > 0
    assert with_faults.refused > 0
    assert without.lost == 0
    expected = 80 * 200 * (15 + 5 * 3) / 20
    assert without.requests == pytest.approx(expected, rel=0.02)
    assert with_faults.requests == pytest.approx(expected, rel=0.02)


def test_a_fleet_that_grows_refuses_less() -> None:
    load = Load(60, np.array([0.05]), burst=3, burst_s=60, burst_every_s=200)
    fixed = simulate(load, machine(2, 4, 28), Fleet(2), 600)
    grows = simulate(load, machine(2, 4, 28), Fleet(2, most=6, target=6), 600)
    assert grows.refused < fixed.refused / 2
    assert 2 < grows.replicas < 6
    assert fixed.replicas == 2


def test_replicas_for_a_load() -> None:
    load = Load(200, np.array([0.05]))
    count = replicas_for(load, machine(2, 4, 28), 200, 0.001, 30)
    assert count >= 5  # 10 cores are busy
    result = simulate(load, machine(2, 4, 28), Fleet(count), 30)
    assert result.milliseconds(99)[0] <= 200
    fewer = simulate(load, machine(2, 4, 28), Fleet(count - 1), 30)
    assert fewer.milliseconds(99)[0] > 200 or fewer.refused > 0.001 * fewer.requests
