"""The sections that send requests, against a scripted service."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.client_processes import ClientProcesses
from benchmarks.clients import Outcome
from benchmarks.gpu import memory, serving, start
from benchmarks.gpu.plan import Plan, Result
from benchmarks.gpu.services import asks_of, require_device
from benchmarks.gpu.serving import Tables, target_of
from benchmarks.pictures import Ask
from benchmarks.served import Served
from tests.benchmarks.gpu_plan import last, plan


class Scripted:
    """A service that answers every request with one status, and the first to each route slowly.

    Args:
        status: the status.
        provider: the execution provider of all its models.
    """

    def __init__(self, status: int = 200, provider: str = "CPUExecutionProvider") -> None:
        self.requests: Counter[str] = Counter()
        self.settings: list[dict[str, object]] = []
        self._status = status
        self._models = f'{{"models":[{{"provider":"{provider}"}}]}}'.encode()
        self._lock = threading.Lock()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the handler of requests."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200, service._models)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                with service._lock:
                    service.requests[self.path] += 1
                    first = service.requests[self.path] == 1
                time.sleep(0.2 if first else 0.002)
                self._answer(service._status, b"{}")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    @contextmanager
    def on_device(self, plan: Plan, *, poll: float = 0.1, **settings: object) -> Iterator[Served]:
        """Run it in place of the service."""
        self.settings.append(settings)
        server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Served(f"http://127.0.0.1:{server.server_port}", os.getpid())
        finally:
            server.shutdown()
            server.server_close()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The scripted service, which all sections start."""
    return replace_service(monkeypatch, Scripted())


def replace_service(monkeypatch: pytest.MonkeyPatch, service: Scripted) -> Scripted:
    for section in (serving, start, memory):
        monkeypatch.setattr(section, "on_device", service.on_device)
    return service


class Senders:
    """Takes the place of `ClientProcesses`: each client gets 10 responses a second.

    Args:
        most: is not used.
        status: the status of the responses.
    """

    most = 1

    def __init__(self, most: int | None = None, status: int = 200) -> None:
        self.rates: list[float] = []
        self._status = status

    def __enter__(self) -> "Senders":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def closed(self, url: str, asks: Sequence[Ask], clients: int, seconds: float) -> Outcome:
        """Return the responses to clients."""
        return self.open_(url, asks, 10 * clients, seconds)

    def open_(self, url: str, asks: Sequence[Ask], rate: float, seconds: float) -> Outcome:
        """Return the responses to arrivals of a rate."""
        self.rates.append(rate)
        outcome = Outcome(seconds=10)
        for number in range(round(10 * rate)):
            outcome.add(number / rate, 0.001 * (1 + number % 100), self._status)
        return outcome


def replace_senders(monkeypatch: pytest.MonkeyPatch, senders: Senders) -> Senders:
    monkeypatch.setattr(serving, "ClientProcesses", lambda most: senders)
    return senders


def test_every_route_is_measured_with_merging_on_and_off(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders = replace_senders(monkeypatch, Senders())
    result = last(serving.measure, plan())
    closed, half = (table.rows for table in result.tables)
    routes, ways = ("/detect", "/embed", "/verify"), ("on", "off")
    assert [tuple(row[:3]) for row in closed] == [(r, w, n) for r in routes for n in (1, 2) for w in ways]
    assert [tuple(row[:3]) for row in half] == [(route, way, "any") for route in routes for way in ways]
    assert [row[3] for row in closed] == [10, 10, 20, 20] * 2 + [20, 20, 40, 40]  # /verify has two images
    assert [row[3] for row in half] == [10, 10] * 2 + [20, 20]
    assert senders.rates[6:8] == [10, 10]  # after the two warm-ups and four runs of /detect: half of 20
    assert closed[0][5] == pytest.approx(99.01)
    assert closed[0][7] == "200: 100"
    assert [given["dynamic_batching"] for given in scripted.settings] == [True, False]
    assert (result.complete, result.faults) == (True, [])


def test_a_verification_counts_as_two_images() -> None:
    assert [len(ask.images) for ask in asks_of("/verify")] == [2] * 5
    assert [len(ask.images) for ask in asks_of("/detect")] == [1] * 5


def test_a_service_that_refuses_everything_fails_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_service(monkeypatch, Scripted(status=503))
    replace_senders(monkeypatch, Senders(status=503))
    with pytest.raises(RuntimeError, match="No request to /detect got status 200: 503: "):
        last(serving.measure, plan())
    for section in (start, memory):
        with pytest.raises(RuntimeError, match="503 instead of 200"):
            last(section.measure, plan())


def test_a_service_on_another_device_fails_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_service(monkeypatch, Scripted(provider="CUDAExecutionProvider"))
    for section in (serving, start, memory):
        with pytest.raises(RuntimeError, match=r"providers \['CUDAExecutionProvider'\]"):
            last(section.measure, plan())


def test_a_service_that_lists_no_models_is_on_no_device() -> None:
    service = Scripted()
    service._models = b'{"models":[]}'
    with service.on_device(plan()) as served, pytest.raises(RuntimeError, match="providers"):
        require_device(served, plan())


def test_no_time_is_said_before_what_it_was(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_senders(monkeypatch, Senders())
    result = last(serving.measure, plan(seconds=0))
    assert not result.complete
    assert result.notes[-1] == "The time was over before 1 clients of /detect."
    result = last(memory.measure, plan(seconds=0))
    assert (result.complete, result.notes[-1]) == (False, "The time was over before image 1 of 24.")
    assert not last(start.measure, plan(seconds=0)).complete


def test_the_first_request_is_told_from_later_ones(scripted: Scripted) -> None:
    (table,) = last(start.measure, plan()).tables
    (row,) = table.rows
    assert len(row) == len(table.heads) == 8
    for first, later in zip(row[2::2], row[3::2], strict=True):
        assert float(str(first)) > 200 > float(str(later))


def test_memory_is_read_after_each_chunk(scripted: Scripted) -> None:
    result = last(memory.measure, plan())
    assert [row[0] for row in result.tables[1].rows] == [4, 8, 12, 16, 20, 24]
    assert all(float(str(row[1])) > 10 for row in result.tables[1].rows)
    assert scripted.requests == {"/embed": 24}


def rows(rate: float, p99: float) -> Tables:
    """Return the tables of a measurement of `/detect`; other rows must not count for its targets."""
    others = [["/detect", "off", 64, 9e9, 1, 1, 1, ""], ["/embed", "on", 64, 9e9, 1, 1, 1, ""]]
    closed = [["/detect", "on", 1, rate / 2, 1, 1, 1, ""], ["/detect", "on", 64, rate, 1, 1, 1, ""], *others]
    return Tables(closed, [*others, ["/detect", "on", "any", rate / 2, 1, p99, 1, ""]])


def targets(result: Result) -> list[list[object]]:
    return [list(row) for table in result.tables if table.title.startswith("Targets") for row in table.rows]


def test_targets_are_beside_the_figures() -> None:
    assert [row[1:] for row in targets(rows(2500, 20).result(plan(gpu="NVIDIA H200"), ""))] == [
        [2000, 2500, "yes"],
        [25, 20, "yes"],
    ]
    missed = rows(1999, 25).result(plan(gpu="NVIDIA H200"), "")
    assert [row[-1] for row in targets(missed)] == ["no", "no"]
    assert missed.faults == [
        "`/detect`, images/s, at least 2000: measured 1999",
        "`/detect` at half load, p99 ms, less than 25: measured 25",
    ]
    assert rows(1999, 20).result(plan(gpu="NVIDIA H100 80GB HBM3"), "").faults == []
    assert targets(rows(1, 99).result(plan(gpu="NVIDIA A10"), "")) == []


def test_there_is_no_verdict_before_the_half_load() -> None:
    tables = rows(1, 99)
    tables.half = []
    assert targets(tables.result(plan(gpu="NVIDIA H200"), "")) == []


def test_which_gpus_have_targets() -> None:
    assert target_of("NVIDIA H200") == 2000
    assert target_of("NVIDIA H100 PCIe") == 1200
    assert target_of("NVIDIA GH200 480GB") is None
    assert target_of("") is None


def test_processes_share_the_clients_and_the_rate() -> None:
    service = Scripted()
    with service.on_device(plan()) as served, ClientProcesses(2) as senders:
        asks = [Ask("/detect", (b"image",))]
        closed = senders.closed(served.url, asks, 3, 0.5)
        opened = senders.open_(served.url, asks, 100, 0.5)
    assert closed.statuses.keys() == opened.statuses.keys() == {200}
    assert len(closed.status) + len(opened.status) == service.requests["/detect"]
    assert 20 < len(opened.status) < 90  # 50 are expected
    assert len(closed.took) == len(closed.status)
    assert 0.5 <= closed.seconds < 5
