"""The scheduler of a GPU with dynamic batching: calls of different requests share batches."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Abandoned, OutOfMemory
from app.runtime.dynamic_batching import BatchingScheduler
from app.runtime.request_context import RequestContext
from app.runtime.scheduler import ScheduledSession
from app.runtime.timing import Timing
from tests.runtime.sum_net import CPU, GPU, RecordingTelemetry, SumNet, images, queue_behind_a_held_call, sums
from tests.servers import until


def test_what_comes_while_the_device_is_busy_runs_together() -> None:
    net, telemetry = SumNet(), RecordingTelemetry()
    scheduler = BatchingScheduler(1, telemetry)
    calls = [images(n, seed=n) for n in (3, 10, 2)]
    with ThreadPoolExecutor(8) as clients:
        answers = queue_behind_a_held_call(net, scheduler, clients, calls)
        net.gate.set()
        assert [a.result(30).tolist() for a in answers[1:]] == [sums(c) for c in calls]
    assert net.calls == [(1, 1), (15, 16)]
    assert telemetry.batches == [(1, 1), (3, 15)]


def test_no_more_than_the_largest_batch_runs_together() -> None:
    net = SumNet(CPU, slots=1)
    scheduler = BatchingScheduler(1)
    calls = [images(n, seed=n) for n in (5, 5, 5)]
    with ThreadPoolExecutor(8) as clients:
        answers = queue_behind_a_held_call(net, scheduler, clients, calls)
        net.gate.set()
        assert [a.result(30).tolist() for a in answers[1:]] == [sums(c) for c in calls]
    assert [count for count, _ in net.calls] == [1, 8, 7]


def test_other_shapes_and_other_nets_are_not_merged() -> None:
    net, other = SumNet(), SumNet()
    scheduler = BatchingScheduler(1)
    calls = [images(2), images(2, side=3), images(3, seed=1)]
    with ThreadPoolExecutor(8) as clients:
        answers = queue_behind_a_held_call(net, scheduler, clients, calls)
        foreign = clients.submit(lambda: ScheduledSession(other, scheduler).run(images(4))["sum"])
        until(lambda: scheduler.waiting == 4)
        net.gate.set()
        assert [a.result(30).tolist() for a in answers[1:]] == [sums(c) for c in calls]
        assert foreign.result(30).tolist() == sums(images(4))
    assert net.calls == [(1, 1), (4, 4), (2, 4), (1, 1)]
    assert other.calls == [(4, 4)]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.sampled_from([(GPU, 1), (CPU, 1), (CPU, 2), (CPU, 3), ((4,), 1)]),
    st.sampled_from([1000, 16, 4]),
)
def test_many_callers_get_the_answers_each_would_get_alone(
    counts: list[int], device: tuple[tuple[int, ...], int], memory: int
) -> None:
    sizes, slots = device
    session = ScheduledSession(SumNet(sizes, slots, memory), BatchingScheduler(slots))
    calls = [images(n, seed) for seed, n in enumerate(counts)]
    with ThreadPoolExecutor(len(calls)) as clients:
        answers = list(clients.map(lambda c: session.run(c)["sum"], calls))
    assert [a.tolist() for a in answers] == [sums(c) for c in calls]


def test_no_memory_for_one_image_is_an_error_for_all_who_share_it_and_no_longer() -> None:
    net = SumNet(memory=0)
    scheduler = BatchingScheduler(1)
    session = ScheduledSession(net, scheduler)
    with ThreadPoolExecutor(8) as clients:
        answers = queue_behind_a_held_call(net, scheduler, clients, [images(3), images(4)])
        net.gate.set()
        for answer in answers:
            with pytest.raises(OutOfMemory):
                answer.result(30)
    net.memory = 100
    assert session.run(images(5))["sum"].tolist() == sums(images(5))


def test_a_request_that_is_over_does_not_join_the_batch_of_another() -> None:
    net, context = SumNet(), RequestContext()
    scheduler = BatchingScheduler(1)
    session = ScheduledSession(net, scheduler)

    def client() -> None:
        Timing(context).begin_job()
        session.run(images(5))

    with ThreadPoolExecutor(4) as clients:
        _, wanted = queue_behind_a_held_call(net, scheduler, clients, [images(3)])
        lost = clients.submit(client)
        until(lambda: scheduler.waiting == 2)
        context.cancel(Abandoned("The client has disconnected."))
        net.gate.set()
        assert wanted.result(30).tolist() == sums(images(3))
        with pytest.raises(Abandoned):
            lost.result(30)
    assert net.calls == [(1, 1), (3, 4)]
