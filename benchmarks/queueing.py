"""A simulation of replicas of the service behind a balancer: arrivals, bursts, failures and scaling.

A replica has cores, worker threads and a queue. Its requests share the cores evenly (processor sharing). A
request that finds all worker threads busy waits in the queue; one that finds the queue full is refused. The
balancer gives each request to the replica with the fewest requests (least connections). A replica that fails
loses the requests that it has, and is back after its start time.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy import ndarray


@dataclass(frozen=True)
class Load:
    """The requests.

    Attributes:
        rate: mean requests per second outside of bursts.
        service_s: CPU seconds of requests; each request takes one of them at random.
        burst: factor of the rate during a burst.
        burst_s: duration of a burst in seconds.
        burst_every_s: seconds from the start of a burst to the next one.
    """

    rate: float
    service_s: ndarray
    burst: float = 1.0
    burst_s: float = 0.0
    burst_every_s: float = 60.0


@dataclass(frozen=True)
class Machine:
    """What each replica has.

    Attributes:
        cores: number of cores.
        workers: number of worker threads.
        queue: number of requests that may wait.
        parallel: number of cores that one request can use.
        start_s: seconds from the start of a replica until it accepts requests.
    """

    cores: int
    workers: int
    queue: int
    parallel: float
    start_s: float


@dataclass(frozen=True)
class Fleet:
    """How many replicas there are.

    Attributes:
        replicas: number at first.
        most: maximum number; more than `replicas` switches autoscaling on.
        target: requests in flight per replica from which the fleet grows.
        every_s: seconds between two decisions of the autoscaler.
        failure_every_s: mean seconds between two failures in the whole fleet; 0 for none.
    """

    replicas: int
    most: int = 0
    target: float = 0.0
    every_s: float = 15.0
    failure_every_s: float = 0.0


@dataclass
class Result:
    """What became of the requests.

    Attributes:
        took: seconds from arrival to response of each answered request.
        refused: number of refused requests.
        lost: number of requests that a failure has lost.
        replicas: mean number of replicas that accept requests.
    """

    took: list[float] = field(default_factory=list)
    refused: int = 0
    lost: int = 0
    replicas: float = 0.0

    @property
    def requests(self) -> int:
        """The number of all requests."""
        return len(self.took) + self.refused + self.lost

    def milliseconds(self, *percentiles: float) -> list[float]:
        """Return percentiles of the response time in milliseconds; nan without a response."""
        if not self.took:
            return [float("nan")] * len(percentiles)
        return [float(value) * 1e3 for value in np.percentile(self.took, percentiles)]


class _Replica:
    """One replica. `clock` is the service that each running request has received since the beginning."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._clock = self._now = 0.0
        self._running: list[tuple[float, float]] = []
        self._waiting: deque[tuple[float, float]] = deque()
        self.version = 0

    def __len__(self) -> int:
        return len(self._running) + len(self._waiting)

    def add(self, now: float, service: float) -> bool:
        """Take a request.

        Returns:
            Whether there is room for it.
        """
        self._advance(now)
        if len(self._running) < self._machine.workers:
            heapq.heappush(self._running, (self._clock + service, now))
        elif len(self._waiting) < self._machine.queue:
            self._waiting.append((service, now))
        else:
            return False
        return True

    def start(self, now: float) -> None:
        """Begin at this time, without requests."""
        self._now = now

    def next_end(self) -> float:
        """Return when the next request ends, if no other arrives."""
        return self._now + (self._running[0][0] - self._clock) / self._speed()

    def finish(self, now: float) -> float:
        """End the next request.

        Returns:
            When it arrived.
        """
        self._advance(now)
        _, arrived = heapq.heappop(self._running)
        if self._waiting:
            service, since = self._waiting.popleft()
            heapq.heappush(self._running, (self._clock + service, since))
        return arrived

    @property
    def is_busy(self) -> bool:
        """Whether it has requests."""
        return bool(self._running)

    def _speed(self) -> float:
        return min(self._machine.parallel, self._machine.cores / max(1, len(self._running)))

    def _advance(self, now: float) -> None:
        self._clock += (now - self._now) * self._speed()
        self._now = now


class _Simulation:
    def __init__(self, load: Load, machine: Machine, fleet: Fleet, seed: int) -> None:
        self._load, self._machine, self._fleet = load, machine, fleet
        self._random = np.random.default_rng(seed)
        self._replicas = {key: _Replica(machine) for key in range(fleet.replicas)}
        self._next_key = fleet.replicas
        self._starting = 0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._least: list[tuple[int, int]] = [(0, key) for key in self._replicas]
        self._services = self._draw_services()
        self.result = Result()

    def run(self, seconds: float) -> Result:
        """Return what becomes of the requests of some seconds."""
        arrivals = self._arrivals(seconds)
        arrival = next(arrivals, None)
        if self._fleet.failure_every_s:
            self._at(self._random.exponential(self._fleet.failure_every_s), self._fail)
        if self._fleet.most > self._fleet.replicas:
            self._at(self._fleet.every_s, self._scale)
        area = last = 0.0
        while arrival is not None or any(replica.is_busy for replica in self._replicas.values()):
            if arrival is not None and (not self._events or arrival <= self._events[0][0]):
                now = arrival
                self._arrive(now)
                arrival = next(arrivals, None)
            else:
                now, _, action = heapq.heappop(self._events)
                action(now)
            if now <= seconds:
                area += (now - last) * len(self._replicas)
                last = now
        self.result.replicas = area / last if last else float(self._fleet.replicas)
        return self.result

    def _arrivals(self, seconds: float) -> Iterator[float]:
        load, now = self._load, 0.0
        most = load.rate * max(1.0, load.burst)
        while True:
            for gap in self._random.exponential(1 / most, 4096).tolist():
                now += gap
                if now >= seconds:
                    return
                in_burst = load.burst_s > 0 and now % load.burst_every_s < load.burst_s
                rate = load.rate * (load.burst if in_burst else 1.0)
                if self._random.random() * most < rate:
                    yield now

    def _draw_services(self) -> Iterator[float]:
        while True:
            yield from self._random.choice(self._load.service_s, 4096).tolist()

    def _arrive(self, now: float) -> None:
        key = self._least_busy()
        if key is None:
            self.result.refused += 1
            return
        service = next(self._services)
        if self._replicas[key].add(now, service):
            self._changed(key)
        else:
            self.result.refused += 1

    def _least_busy(self) -> int | None:
        while self._least:
            count, key = self._least[0]
            replica = self._replicas.get(key)
            if replica is None or len(replica) != count:
                heapq.heappop(self._least)
                continue
            return key
        return None

    def _changed(self, key: int) -> None:
        replica = self._replicas[key]
        replica.version += 1
        heapq.heappush(self._least, (len(replica), key))
        if replica.is_busy:
            self._at(replica.next_end(), partial(self._end, key, replica.version))

    def _end(self, key: int, version: int, now: float) -> None:
        replica = self._replicas.get(key)
        if replica is None or replica.version != version:
            return  # another request has arrived or ended meanwhile
        self.result.took.append(now - replica.finish(now))
        self._changed(key)

    def _fail(self, now: float) -> None:
        if self._replicas:
            key = int(self._random.choice(list(self._replicas)))
            self.result.lost += len(self._replicas.pop(key))
            self._start(now)
        self._at(now + self._random.exponential(self._fleet.failure_every_s), self._fail)

    def _start(self, now: float) -> None:
        self._starting += 1
        self._at(now + self._machine.start_s, self._ready)

    def _ready(self, now: float) -> None:
        self._starting -= 1
        key, self._next_key = self._next_key, self._next_key + 1
        self._replicas[key] = replica = _Replica(self._machine)
        replica.start(now)
        heapq.heappush(self._least, (0, key))

    def _scale(self, now: float) -> None:
        busy = sum(len(replica) for replica in self._replicas.values())
        wanted = min(self._fleet.most, max(self._fleet.replicas, int(np.ceil(busy / self._fleet.target))))
        for _ in range(wanted - len(self._replicas) - self._starting):
            self._start(now)
        idle = [key for key, replica in self._replicas.items() if not len(replica)]
        for key in idle[: max(0, len(self._replicas) + self._starting - wanted)]:
            del self._replicas[key]
        self._at(now + self._fleet.every_s, self._scale)

    def _at(self, when: float, action: Callable[[float], None]) -> None:
        self._count += 1  # events at one time happen in the order in which they were added
        heapq.heappush(self._events, (when, self._count, action))


def simulate(load: Load, machine: Machine, fleet: Fleet, seconds: float, seed: int = 0) -> Result:
    """Return what becomes of the requests of some seconds.

    Args:
        load: the requests.
        machine: what each replica has.
        fleet: the replicas.
        seconds: duration of the arrivals. The simulation ends when the last request has ended.
        seed: seed of the random numbers.
    """
    return _Simulation(load, machine, fleet, seed).run(seconds)


def replicas_for(load: Load, machine: Machine, p99_ms: float, refused: float, seconds: float) -> int:
    """Return the smallest number of replicas that keep two promises.

    Args:
        load: the requests.
        machine: what each replica has.
        p99_ms: the 99th percentile of the response time may be at most this, in milliseconds.
        refused: the share of refused requests may be at most this.
        seconds: duration of each simulation.
    """
    low = max(1, int(load.rate * load.service_s.mean() / machine.cores))

    def keeps(count: int) -> bool:
        result = simulate(load, machine, Fleet(count), seconds)
        return result.milliseconds(99)[0] <= p99_ms and result.refused <= refused * result.requests

    high = low
    while not keeps(high):
        low, high = high + 1, high + max(1, high // 4)
    while low < high:
        middle = (low + high) // 2
        if keeps(middle):
            high = middle
        else:
            low = middle + 1
    return high
