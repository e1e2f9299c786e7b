"""Memory budgets: who gives way to whom."""

import asyncio

from app.api.transport.memory_budget import MemoryBudget
from tests.api.transport.clients import FakeClient


async def now() -> float:
    return asyncio.get_running_loop().time()


def test_what_is_taken_is_used_until_it_is_released() -> None:
    budget = MemoryBudget(100)
    share = budget.share(None)
    assert share.take(60)
    assert budget.used == 60
    share.release()
    share.release()
    assert budget.used == 0


async def full(budget: MemoryBudget, *clients: FakeClient) -> None:
    for client in clients:
        assert budget.share(client).take(budget.limit // len(clients))


def test_the_client_with_least_progress_gives_way() -> None:
    async def run() -> None:
        budget, at = MemoryBudget(100), await now()
        slow, quick, new = (FakeClient(recent, now=at) for recent in (10, 1000, 100))
        await full(budget, quick, slow)
        assert budget.share(new).take(40)
        assert (slow.gave_way, quick.gave_way) == (True, False)
        assert budget.used == 90

    asyncio.run(run())


def test_a_client_with_less_progress_than_all_others_gets_nothing() -> None:
    async def run() -> None:
        budget, at = MemoryBudget(100), await now()
        first, second, new = (FakeClient(recent, now=at) for recent in (1000, 1000, 100))
        await full(budget, first, second)
        assert not budget.share(new).take(40)
        assert not first.gave_way
        assert not second.gave_way
        assert budget.used == 100

    asyncio.run(run())


def test_many_small_bodies_do_not_give_way_to_a_large_one() -> None:
    """The progress counts for the memory in use: one that holds little frees little."""

    async def run() -> None:
        budget, at = MemoryBudget(1000), await now()
        small = [FakeClient(10, now=at) for _ in range(10)]
        for client in small:
            assert budget.share(client).take(2)
        stalled, new = FakeClient(10, now=at), FakeClient(1000, now=at)
        assert budget.share(stalled).take(980)
        assert budget.share(new).take(500)
        assert stalled.gave_way
        assert not any(client.gave_way for client in small)

    asyncio.run(run())


def test_complete_bodies_and_those_without_a_connection_do_not_give_way() -> None:
    async def run() -> None:
        budget, at = MemoryBudget(100), await now()
        complete, new = FakeClient(0, awaits=False, now=at), FakeClient(1000, now=at)
        assert budget.share(complete).take(50)
        assert budget.share(None).take(50)
        assert not budget.share(new).take(40)
        assert not complete.gave_way

    asyncio.run(run())
