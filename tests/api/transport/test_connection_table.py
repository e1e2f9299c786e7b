"""The table of connections: limits in all and per client, and which connection gives way."""

import asyncio
from ipaddress import ip_network

import pytest

from app.api.transport.connection_table import ConnectionTable
from tests.api.transport.clients import FakeClient


def displaced(connections: list[FakeClient], new: FakeClient, limit: int = 3) -> FakeClient | None:
    """The connection that gives way to the new one; None if the new one is refused."""

    async def run() -> bool:
        table = ConnectionTable(limit)
        for connection in connections:
            connection.recent._time = asyncio.get_running_loop().time()
            assert table.enter(connection, "")
        assert not table.enter(new, "")
        return table.displace(new, "")

    entered = asyncio.run(run())
    gone = [connection for connection in connections if connection.gave_way]
    assert entered == (len(gone) == 1)
    return gone[0] if gone else None


def test_the_idle_connection_that_sent_least_lately_gives_way() -> None:
    quiet, lively, slow_body = FakeClient(5, idle=True), FakeClient(1e9, idle=True), FakeClient(0)
    assert displaced([lively, quiet, slow_body], FakeClient()) is quiet


def test_without_idle_ones_the_slowest_that_waits_for_its_client_gives_way() -> None:
    slow, quick, working = FakeClient(5), FakeClient(1e6), FakeClient(0, awaits=False)
    assert displaced([quick, slow, working], FakeClient()) is slow


def test_clients_that_make_progress_and_requests_in_work_stay() -> None:
    connections = [FakeClient(1e6), FakeClient(1e6), FakeClient(0, awaits=False)]
    assert displaced(connections, FakeClient()) is None


def test_a_connection_that_left_makes_room() -> None:
    table, first, second = ConnectionTable(1), FakeClient(), FakeClient()
    assert table.enter(first, "")
    assert not table.enter(second, "")
    table.leave(first)
    table.leave(first)
    assert table.enter(second, "")


def test_a_client_at_its_limit_displaces_only_its_own() -> None:
    async def run() -> None:
        table = ConnectionTable(3, 2)
        other, own, working = FakeClient(0, idle=True), FakeClient(0, idle=True), FakeClient(awaits=False)
        assert table.enter(other, "b")
        assert table.enter(own, "a")
        assert table.enter(working, "a")
        assert table.exhausted_by("a")
        assert table.displace(FakeClient(awaits=False), "a")
        assert own.gave_way
        assert not table.displace(FakeClient(), "a")
        assert not other.gave_way
        assert table.displace(FakeClient(), "c")
        assert other.gave_way

    asyncio.run(run())


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("10.1.2.3", ""),
        ("::ffff:10.1.2.3", ""),
        ("", ""),
    ],
)
def test_the_client_of_an_address(address: str, owner: str) -> None:
    assert ConnectionTable(1, 1, [ip_network("10.0.0.0/8")]).owner_of(address) == owner


def test_connections_of_a_proxy_have_no_limit_of_their_own() -> None:
    table = ConnectionTable(5, 1, [ip_network("10.0.0.0/8")])
    assert all(table.enter(FakeClient(), table.owner_of("10.0.0.1")) for _ in range(5))
