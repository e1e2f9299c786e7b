"""Kills and stops replicas while clients use them."""

import threading
import time
from dataclasses import dataclass

from tests.replica_load import COLLECTION, Client, Record, faces_of
from tests.replica_set import Replica, ReplicaSet
from tests.servers import client_of, until


@dataclass(frozen=True)
class Fault:
    """What happened to a replica.

    Attributes:
        what: a description.
        at: when its signal was sent, by `time.monotonic`.
        in_hands: number of requests that the replica had.
        noticed: seconds until the balancer sent it no more requests.
        ended: seconds until the process ended.
        back: seconds from the new start until the balancer sent it requests again; 0 without a new start.
    """

    what: str
    at: float
    in_hands: int
    noticed: float
    ended: float
    back: float


def rehearse(
    running: ReplicaSet, seconds: float, clients: int, *, restart: bool = True
) -> tuple[Record, list[Fault]]:
    """Kill the second replica after a quarter of the time, and stop the third one after the half.

    Args:
        running: the replicas.
        seconds: minimum duration of the load, which includes the faults.
        clients: number of clients.
        restart: whether the two replicas are started again.

    Returns:
        What the clients saw, and what happened to the replicas.
    """
    with client_of(running.balancer.url) as http:
        http.put(f"/collections/{COLLECTION}").raise_for_status()
    record, over = Record(), threading.Event()
    asking = [Client(running.balancer.url, running.replicas, record, seed) for seed in range(clients)]
    threads = [threading.Thread(target=client.run, args=(over.is_set,)) for client in asking]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        _sleep_until(start + seconds / 4)
        killed = _fault(running, running.replicas[1], "killed (SIGKILL)", restart)
        _sleep_until(start + seconds / 2)
        stopped = _fault(running, running.replicas[2], "stopped (SIGTERM)", restart)
        _sleep_until(start + seconds)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return record, [killed, stopped]


def lost_without_reason(record: Record, faults: list[Fault]) -> list[str]:
    """Return descriptions of the lost requests that no killed replica had in its hands.

    Such a request may be lost only if it may not be repeated. HAProxy answers it with 502, or closes a
    connection that has had an answer before (status 0).
    """
    kills = [(fault.at, fault.at + fault.ended) for fault in faults if "killed" in fault.what]
    return [
        f"{sample.kind}: {sample.status} {sample.reason}"
        for sample in record.lost
        if sample.kind != "add person"
        or sample.status not in (0, 502)
        or not any(s <= sample.end and sample.start <= e for s, e in kills)
    ]


def _fault(running: ReplicaSet, replica: Replica, what: str, restart: bool) -> Fault:
    until(lambda: running.in_hands(replica) > 0)
    in_hands = running.in_hands(replica)
    at = time.monotonic()
    noticing = threading.Thread(target=lambda: noticed.append(running.seconds_until_noticed(replica)))
    noticed: list[float] = []
    noticing.start()
    replica.kill() if "killed" in what else replica.drain()
    ended = time.monotonic() - at
    noticing.join()
    again = time.monotonic()
    if restart:
        replica.start()
        running.wait_until_all_are_ready()
    return Fault(what, at, in_hands, noticed[0], ended, time.monotonic() - again)


def missing_faces(running: ReplicaSet, record: Record) -> list[str]:
    """Return the answered enrolments that a replica does not list, and the faces that are there twice."""
    wrong = []
    for replica in running.replicas:
        if not replica.is_ready():
            continue
        listed = faces_of(replica.url)
        wrong += [f"{replica.name}: {p} {f}" for p, f in record.enrolled if f not in listed.get(p, [])]
        wrong += [f"{replica.name}: {p} has {faces}" for p, faces in listed.items() if len(faces) > 1]
    return wrong


def _sleep_until(when: float) -> None:
    time.sleep(max(0.0, when - time.monotonic()))
