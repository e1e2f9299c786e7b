"""The scheduler of a device: its execution slots, in front of which all requests queue."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from app.errors import Abandoned, OutOfMemory
from app.runtime.dynamic_batching import BatchingScheduler
from app.runtime.request_context import RequestContext
from app.runtime.scheduler import DeviceScheduler, ScheduledSession
from app.runtime.timing import QUEUE, Timing
from tests.runtime.sum_net import CPU, GPU, RecordingTelemetry, SumNet, images, queue_behind_a_held_call, sums
from tests.servers import until

SCHEDULERS = pytest.mark.parametrize("scheduler_type", [DeviceScheduler, BatchingScheduler])


@SCHEDULERS
def test_a_lone_call_runs_at_once_in_the_allowed_sizes(scheduler_type: type[DeviceScheduler]) -> None:
    net = SumNet()
    batch = images(70)
    assert ScheduledSession(net, scheduler_type(1)).run(batch)["sum"].tolist() == sums(batch)
    assert net.calls == [(64, 64), (4, 4), (2, 4)]


@pytest.mark.parametrize(
    ("n", "pieces"), [(1, [1]), (2, [1, 1]), (7, [3, 4]), (16, [8, 8]), (17, [2, 5, 5, 5])]
)
def test_a_lone_call_is_dealt_out_evenly_to_the_slots(n: int, pieces: list[int]) -> None:
    net = SumNet(CPU, slots=2)
    batch = images(n)
    assert ScheduledSession(net, DeviceScheduler(2)).run(batch)["sum"].tolist() == sums(batch)
    assert sorted(count for count, _ in net.calls) == pieces


@pytest.mark.parametrize(("sizes", "slots"), [(GPU, 1), (CPU, 1), (CPU, 2)])
def test_calls_of_different_requests_are_never_merged(sizes: tuple[int, ...], slots: int) -> None:
    net, telemetry = SumNet(sizes, slots), RecordingTelemetry()
    scheduler = DeviceScheduler(1, telemetry)
    calls = [images(n, seed=n) for n in (3, 4, 2)]
    with ThreadPoolExecutor(8) as clients:
        answers = queue_behind_a_held_call(net, scheduler, clients, calls)
        net.gate.set()
        assert [a.result(30).tolist() for a in answers[1:]] == [sums(c) for c in calls]
    assert {requests for requests, _ in telemetry.batches} == {1}
    assert sum(items for _, items in telemetry.batches) == 10
    if slots == 1:
        assert [count for count, _ in net.calls] == [1, 3, 4, 2]
    assert all(name.startswith("slot") for name in net.threads)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.sampled_from([(GPU, 1), (CPU, 1), (CPU, 2), (CPU, 3), ((4,), 1)]),
    st.sampled_from([1000, 16, 4]),
)
def test_many_callers_get_the_answers_each_would_get_alone(
    counts: list[int], device: tuple[tuple[int, ...], int], memory: int
) -> None:
    sizes, slots = device
    telemetry = RecordingTelemetry()
    session = ScheduledSession(SumNet(sizes, slots, memory), DeviceScheduler(slots, telemetry))
    calls = [images(n, seed) for seed, n in enumerate(counts)]
    with ThreadPoolExecutor(len(calls)) as clients:
        answers = list(clients.map(lambda c: session.run(c)["sum"], calls))
    assert [a.tolist() for a in answers] == [sums(c) for c in calls]
    assert {requests for requests, _ in telemetry.batches} <= {1}


@SCHEDULERS
def test_out_of_memory_halves_the_batch_and_tries_again(scheduler_type: type[DeviceScheduler]) -> None:
    net, telemetry = SumNet(memory=5), RecordingTelemetry()
    batch = images(40)
    assert ScheduledSession(net, scheduler_type(1, telemetry)).run(batch)["sum"].tolist() == sums(batch)
    assert [size for _, size in net.calls][:3] == [64, 16, 4]
    assert set(telemetry.exhausted) == {64, 16}
    assert sum(items for _, items in telemetry.batches) == 40


def test_no_memory_for_one_image_is_an_error_of_that_call_and_no_longer() -> None:
    net = SumNet(memory=0)
    scheduler = DeviceScheduler(1)
    session = ScheduledSession(net, scheduler)
    with ThreadPoolExecutor(8) as clients:
        answers = queue_behind_a_held_call(net, scheduler, clients, [images(3), images(4)])
        net.gate.set()
        for answer in answers:
            with pytest.raises(OutOfMemory):
                answer.result(30)
    net.memory = 100
    assert session.run(images(5))["sum"].tolist() == sums(images(5))


@SCHEDULERS
def test_work_that_nobody_wants_any_more_never_reaches_the_net(scheduler_type: type[DeviceScheduler]) -> None:
    net, context = SumNet(), RequestContext()
    scheduler = scheduler_type(1)
    session = ScheduledSession(net, scheduler)

    def client() -> ndarray:
        Timing(context).begin_job()
        return session.run(images(3))["sum"]

    with ThreadPoolExecutor(4) as clients:
        (first,) = queue_behind_a_held_call(net, scheduler, clients, [])
        lost = clients.submit(client)
        until(lambda: scheduler.waiting == 1)
        context.cancel(Abandoned("The client has disconnected."))
        net.gate.set()
        assert len(first.result(30)) == 1
        with pytest.raises(Abandoned):
            lost.result(30)
    assert net.calls == [(1, 1)]


@SCHEDULERS
def test_the_wait_for_the_device_is_counted(scheduler_type: type[DeviceScheduler]) -> None:
    net, timing = SumNet(), Timing()
    scheduler = scheduler_type(1)

    def client() -> None:
        timing.begin_job()
        timing.ms.clear()  # without the wait for this thread
        ScheduledSession(net, scheduler).run(images(3))

    with ThreadPoolExecutor(4) as clients:
        queue_behind_a_held_call(net, scheduler, clients, [])
        waiting = clients.submit(client)
        until(lambda: scheduler.waiting == 1)
        threading.Event().wait(0.05)
        net.gate.set()
        waiting.result(30)
    assert 40 < timing.ms[QUEUE] < 30_000


@SCHEDULERS
def test_a_net_that_takes_the_whole_device_runs_one_call_at_a_time(
    scheduler_type: type[DeviceScheduler],
) -> None:
    net = SumNet(CPU, slots=1)
    session = ScheduledSession(net, scheduler_type(4))
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda n: session.run(images(n)), [9] * 8))
    assert net.most_at_once == 1


def test_of_all_nets_that_take_the_whole_device_one_runs_at_a_time_and_small_ones_beside_it() -> None:
    first, second, small = SumNet(CPU, slots=1), SumNet(CPU, slots=1), SumNet(CPU, slots=4)
    scheduler = DeviceScheduler(4)
    with ThreadPoolExecutor(8) as clients:
        (held,) = queue_behind_a_held_call(first, scheduler, clients, [])
        blocked = clients.submit(lambda: ScheduledSession(second, scheduler).run(images(2))["sum"])
        until(lambda: scheduler.waiting == 1)
        beside = clients.submit(lambda: ScheduledSession(small, scheduler).run(images(9))["sum"]).result(30)
        calls_meanwhile = list(second.calls)
        first.gate.set()
        assert held.result(30).tolist() == sums(images(1))
        assert blocked.result(30).tolist() == sums(images(2))
    assert beside.tolist() == sums(images(9))
    assert calls_meanwhile == []
    assert second.calls == [(2, 2)]


def test_map_keeps_the_order_in_slots_and_may_run_nets_there() -> None:
    net = SumNet(CPU, slots=2)
    session = ScheduledSession(net, DeviceScheduler(2))

    def work(n: int) -> int:
        return int(session.run(images(n))["sum"].sum())

    with ThreadPoolExecutor(4) as clients:
        found = list(clients.map(lambda _: session.map(work, range(12)), range(4)))
    assert found == [[sum(sums(images(n))) for n in range(12)]] * 4
    assert all(name.startswith("slot") for name in net.threads)


@pytest.mark.parametrize("slots", [1, 3])
def test_an_error_reaches_the_caller_and_only_that_one(slots: int) -> None:
    session = ScheduledSession(SumNet(CPU, slots), DeviceScheduler(slots))

    def work(divisor: int) -> float:
        return 1 / divisor

    with ThreadPoolExecutor(4) as clients:
        bad = clients.submit(lambda: session.map(work, [1, 0, 2, 4]))
        good = clients.submit(lambda: session.map(work, [1, 2, 4]))
        with pytest.raises(ZeroDivisionError):
            bad.result(30)
        assert good.result(30) == [1, 0.5, 0.25]


def test_slots_go_round_among_requests() -> None:
    """A request of many pieces does not delay one of few until its end."""
    scheduler = DeviceScheduler(2)
    session = ScheduledSession(SumNet(CPU, 2), scheduler)
    gate, order = threading.Event(), []

    def noting(name: str) -> Callable[[int], None]:
        def work(_: int) -> None:
            gate.wait(30)
            order.append(name)

        return work

    with ThreadPoolExecutor(4) as clients:
        large = clients.submit(lambda: session.map(noting("large"), range(50)))
        until(lambda: scheduler.waiting == 1)
        small = clients.submit(lambda: session.map(noting("small"), range(3)))
        until(lambda: scheduler.waiting == 2)
        gate.set()
        small.result(30)
        large.result(30)
    assert [i for i, name in enumerate(order) if name == "small"][-1] < 15
