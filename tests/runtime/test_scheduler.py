import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from app.errors import Abandoned, OutOfMemory
from app.runtime.request_context import CURRENT, Ticket
from app.runtime.scheduler import DeviceScheduler, ScheduledSession, Unwatched
from app.runtime.session import PROVIDERS
from app.vision.spec import LandmarkSpec, ModelSpec
from app.vision.tiling import TilingPolicy
from tests.fakes import COMMON
from tests.servers import until

GPU = (1, 4, 16, 64)
CPU = tuple(range(1, 9))


@dataclass
class Net:
    """A net whose answer is each image's sum. Remembers its calls, and can be held, or short of memory."""

    sizes: tuple[int, ...] = GPU
    lanes: int = 1
    memory: int = 1000
    gate: threading.Event = field(default_factory=threading.Event)
    calls: list[tuple[int, int]] = field(default_factory=list)
    spec: ModelSpec = field(
        default_factory=lambda: LandmarkSpec(
            model="sums", size=2, template="arcface", scheme="ibug68", **COMMON
        )
    )
    provider: str = PROVIDERS["cpu"]
    pages: TilingPolicy = field(default_factory=lambda: TilingPolicy(64, 64, 2, 2))
    outputs: Sequence[str] = ("sum",)
    threads: set[str] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def batch_sizes(self, images: ndarray) -> tuple[int, ...]:
        return self.sizes

    def nothing(self) -> list[ndarray]:
        return [np.empty(0, np.int64)]

    def infer(self, images: ndarray, size: int) -> list[ndarray]:
        self.calls.append((len(images), size))
        self.threads.add(threading.current_thread().name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.gate.wait(30)
        self.at_once -= 1
        if size > self.memory:
            raise OutOfMemory("no memory")
        return [images.astype(np.int64).sum(axis=(1, 2, 3))]


class Told(Unwatched):
    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.short: list[int] = []

    def batch(self, model: str, kind: str, requests: int, items: int) -> None:
        self.batches.append((requests, items))

    def device_memory(self, model: str, kind: str, items: int) -> None:
        self.short.append(items)


def images(n: int, seed: int = 0, side: int = 2) -> ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


def sums(batch: ndarray) -> list[int]:
    found: list[int] = batch.astype(np.int64).sum(axis=(1, 2, 3)).tolist()
    return found


def held(
    net: Net, owner: DeviceScheduler, clients: ThreadPoolExecutor, calls: Sequence[ndarray]
) -> list[Future[ndarray]]:
    """The device is busy with one image of its own while the calls come, in order."""
    session = ScheduledSession(net, owner)
    net.gate.clear()
    out = [clients.submit(lambda: session.run(images(1))["sum"])]
    until(lambda: len(net.calls) == 1)
    for number, batch in enumerate(calls):
        out.append(clients.submit(lambda b=batch: session.run(b)["sum"]))  # type: ignore[misc]
        until(lambda n=number: owner.waiting == n + 1)
    return out


def test_a_lone_call_runs_at_once_in_the_allowed_sizes() -> None:
    net = Net()
    batch = images(70)
    assert ScheduledSession(net, DeviceScheduler(1, Unwatched())).run(batch)["sum"].tolist() == sums(batch)
    assert net.calls == [(64, 64), (4, 4), (2, 4)]


@pytest.mark.parametrize(
    ("n", "pieces"), [(1, [1]), (2, [1, 1]), (7, [3, 4]), (16, [8, 8]), (17, [2, 5, 5, 5])]
)
def test_a_lone_call_is_dealt_out_evenly_to_the_lanes(n: int, pieces: list[int]) -> None:
    net = Net(CPU, lanes=2)
    batch = images(n)
    assert ScheduledSession(net, DeviceScheduler(2, Unwatched())).run(batch)["sum"].tolist() == sums(batch)
    assert sorted(count for count, _ in net.calls) == pieces


def test_what_comes_while_the_device_is_busy_runs_together() -> None:
    net, told = Net(), Told()
    owner = DeviceScheduler(1, told)
    calls = [images(n, seed=n) for n in (3, 10, 2)]
    with ThreadPoolExecutor(8) as clients:
        answers = held(net, owner, clients, calls)
        net.gate.set()
        assert [a.result(30).tolist() for a in answers[1:]] == [sums(c) for c in calls]
    assert net.calls == [(1, 1), (15, 16)]
    assert told.batches == [(1, 1), (3, 15)]


def test_no_more_than_the_largest_batch_runs_together() -> None:
    net = Net(CPU, lanes=1)
    owner = DeviceScheduler(1, Unwatched())
    calls = [images(n, seed=n) for n in (5, 5, 5)]
    with ThreadPoolExecutor(8) as clients:
        answers = held(net, owner, clients, calls)
        net.gate.set()
        assert [a.result(30).tolist() for a in answers[1:]] == [sums(c) for c in calls]
    assert [count for count, _ in net.calls] == [1, 8, 7]


def test_nothing_is_merged_where_merging_is_off() -> None:
    net = Net()
    owner = DeviceScheduler(1, Unwatched(), merge=False)
    with ThreadPoolExecutor(3, "client") as clients:
        session = ScheduledSession(net, owner)
        list(clients.map(lambda n: session.run(images(n)), (3, 4, 2)))
    assert sorted(count for count, _ in net.calls) == [2, 3, 4]
    assert all(name.startswith("client") for name in net.threads)


def test_other_shapes_and_other_nets_are_not_merged() -> None:
    net, other = Net(), Net()
    owner = DeviceScheduler(1, Unwatched())
    calls = [images(2), images(2, side=3), images(3, seed=1)]
    with ThreadPoolExecutor(8) as clients:
        answers = held(net, owner, clients, calls)
        foreign = clients.submit(lambda: ScheduledSession(other, owner).run(images(4))["sum"])
        until(lambda: owner.waiting == 4)
        net.gate.set()
        assert [a.result(30).tolist() for a in answers[1:]] == [sums(c) for c in calls]
        assert foreign.result(30).tolist() == sums(images(4))
    assert net.calls == [(1, 1), (4, 4), (2, 4), (1, 1)]
    assert other.calls == [(4, 4)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.sampled_from([(GPU, 1), (CPU, 1), (CPU, 2), (CPU, 3), ((4,), 1)]),
    st.booleans(),
    st.sampled_from([1000, 16, 4]),
)
def test_many_callers_get_the_answers_each_would_get_alone(
    counts: list[int], device: tuple[tuple[int, ...], int], merge: bool, memory: int
) -> None:
    sizes, lanes = device
    net = Net(sizes, lanes, memory)
    session = ScheduledSession(net, DeviceScheduler(lanes, Unwatched(), merge))
    calls = [images(n, seed) for seed, n in enumerate(counts)]
    with ThreadPoolExecutor(len(calls)) as clients:
        answers = list(clients.map(lambda c: session.run(c)["sum"], calls))
    assert [a.tolist() for a in answers] == [sums(c) for c in calls]


def test_out_of_memory_halves_the_batch_and_tries_again() -> None:
    net, told = Net(memory=5), Told()
    batch = images(40)
    assert ScheduledSession(net, DeviceScheduler(1, told)).run(batch)["sum"].tolist() == sums(batch)
    assert [size for _, size in net.calls][:3] == [64, 16, 4]
    assert set(told.short) == {64, 16}
    assert sum(items for _, items in told.batches) == 40


def test_no_memory_for_one_image_is_an_error_for_all_who_share_it_and_no_longer() -> None:
    net = Net(memory=0)
    owner = DeviceScheduler(1, Unwatched())
    session = ScheduledSession(net, owner)
    with ThreadPoolExecutor(8) as clients:
        answers = held(net, owner, clients, [images(3), images(4)])
        net.gate.set()
        for answer in answers:
            with pytest.raises(OutOfMemory):
                answer.result(30)
    net.memory = 100
    assert session.run(images(5))["sum"].tolist() == sums(images(5))


def test_work_that_nobody_wants_any_more_never_reaches_the_net() -> None:
    net = Net()
    owner = DeviceScheduler(1, Unwatched())
    session = ScheduledSession(net, owner)
    wanted = True

    def check() -> None:
        if not wanted:
            raise Abandoned("gone")

    def client() -> ndarray:
        CURRENT.set(Ticket(check, Unheard()))
        return session.run(images(3))["sum"]

    with ThreadPoolExecutor(4) as clients:
        (first,) = held(net, owner, clients, [])
        lost = clients.submit(client)
        until(lambda: owner.waiting == 1)
        wanted = False
        net.gate.set()
        assert len(first.result(30)) == 1
        with pytest.raises(Abandoned):
            lost.result(30)
    assert net.calls == [(1, 1)]


def test_the_wait_for_the_device_is_counted() -> None:
    net = Net()
    owner = DeviceScheduler(1, Unwatched())
    tickets: list[Ticket] = []

    def client() -> None:
        tickets.append(Ticket(lambda: None, Unheard()))
        CURRENT.set(tickets[-1])
        ScheduledSession(net, owner).run(images(3))

    with ThreadPoolExecutor(4) as clients:
        held(net, owner, clients, [])
        waiting = clients.submit(client)
        until(lambda: owner.waiting == 1)
        threading.Event().wait(0.05)
        net.gate.set()
        waiting.result(30)
    assert 0.04 < tickets[0].waited < 30


def test_a_net_that_takes_the_whole_device_runs_one_call_at_a_time() -> None:
    net = Net(CPU, lanes=1)
    session = ScheduledSession(net, DeviceScheduler(4, Unwatched()))
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda n: session.run(images(n)), [9] * 8))
    assert net.most_at_once == 1


def test_each_keeps_the_order_in_lanes_and_may_run_nets_there() -> None:
    net = Net(CPU, lanes=2)
    session = ScheduledSession(net, DeviceScheduler(2, Unwatched()))

    def work(n: int) -> int:
        return int(session.run(images(n))["sum"].sum())

    with ThreadPoolExecutor(4) as clients:
        found = list(clients.map(lambda _: session.each(work, range(12)), range(4)))
    assert found == [[sum(sums(images(n))) for n in range(12)]] * 4
    assert all(name.startswith("lane") for name in net.threads)


@pytest.mark.parametrize("lanes", [1, 3])
def test_an_error_reaches_the_caller_and_only_that_one(lanes: int) -> None:
    session = ScheduledSession(Net(CPU, lanes), DeviceScheduler(lanes, Unwatched()))

    def work(divisor: int) -> float:
        return 1 / divisor

    with ThreadPoolExecutor(4) as clients:
        bad = clients.submit(lambda: session.each(work, [1, 0, 2, 4]))
        good = clients.submit(lambda: session.each(work, [1, 2, 4]))
        with pytest.raises(ZeroDivisionError):
            bad.result(30)
        assert good.result(30) == [1, 0.5, 0.25]


def test_lanes_go_round_among_requests() -> None:
    """A request of many pieces does not keep one of few waiting to its end."""
    owner = DeviceScheduler(2, Unwatched())
    session = ScheduledSession(Net(CPU, 2), owner)
    gate, order = threading.Event(), []

    def noting(name: str) -> Callable[[int], None]:
        def work(_: int) -> None:
            gate.wait(30)
            order.append(name)

        return work

    with ThreadPoolExecutor(4) as clients:
        large = clients.submit(lambda: session.each(noting("large"), range(50)))
        until(lambda: owner.waiting == 1)
        small = clients.submit(lambda: session.each(noting("small"), range(3)))
        until(lambda: owner.waiting == 2)
        gate.set()
        small.result(30)
        large.result(30)
    assert [i for i, name in enumerate(order) if name == "small"][-1] < 15


class Unheard:
    def stage(self, name: str, seconds: float) -> None:
        pass

    def faces(self, count: int) -> None:
        pass
