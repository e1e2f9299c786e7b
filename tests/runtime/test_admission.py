import asyncio
import threading
import time

import pytest

from app.errors import Abandoned, DeadlineExceeded, NotReady, OutOfMemory, Overloaded
from app.runtime.admission import Executor
from app.runtime.request_context import CURRENT
from app.runtime.telemetry import Reason, Silent
from app.runtime.timing import Timing


class Heard(Silent):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.depths: list[tuple[int, int]] = []
        self.reasons: list[Reason] = []
        self.stages: list[str] = []
        self.counts: list[int] = []

    def queue_depth(self, waiting: int, running: int) -> None:
        self.depths.append((waiting, running))

    def rejected(self, reason: Reason) -> None:
        self.reasons.append(reason)

    def stage(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append(name)

    def faces(self, count: int) -> None:
        self.counts.append(count)


def test_jobs_run_in_threads_and_answer() -> None:
    async def main() -> None:
        executor = Executor(2, 2)
        place = executor.admit()
        assert await executor.run(place, lambda: 6 * 7) == 42
        assert await executor.run(place, threading.current_thread) is not threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await executor.run(place, lambda: 1 // 0)
        assert executor.admitted == 1
        place.leave()
        place.leave()
        assert executor.admitted == 0
        executor.close()

    asyncio.run(main())


def test_a_place_is_taken_before_there_is_a_job_and_the_queue_is_bounded() -> None:
    async def main() -> None:
        heard = Heard()
        executor, gate = Executor(1, 2, observer=heard), threading.Event()
        places = [executor.admit() for _ in range(3)]
        with pytest.raises(Overloaded, match="All 3 places"):
            executor.admit()
        held = [asyncio.create_task(executor.run(place, gate.wait)) for place in places]
        await asyncio.sleep(0.05)
        try:
            with pytest.raises(Overloaded):
                executor.admit()
        finally:
            gate.set()
        assert await asyncio.gather(*held) == [True, True, True]
        assert heard.reasons == ["queue-full"] * 2
        assert max(waiting for waiting, _ in heard.depths) >= 2
        assert {running for _, running in heard.depths} == {0, 1}
        assert heard.depths[-1] == (0, 0)
        places[0].leave()
        executor.admit()
        executor.close()

    asyncio.run(main())


def test_at_most_so_many_jobs_run_at_once() -> None:
    async def main() -> None:
        executor = Executor(3, 100)
        running, most, lock = 0, 0, threading.Lock()

        def job() -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1

        place = executor.admit()
        await asyncio.gather(*(executor.run(place, job) for _ in range(20)))
        assert most == 3
        executor.close()

    asyncio.run(main())


def test_a_job_whose_caller_has_gone_keeps_its_place_until_its_next_stage() -> None:
    async def main() -> None:
        heard = Heard()
        executor, gate, begun = Executor(1, 1, observer=heard), threading.Event(), threading.Event()
        ends: list[str] = []

        def job() -> None:
            timing = Timing()
            with timing.stage("first"):
                begun.set()
                gate.wait()
            try:
                with timing.stage("second"):
                    ends.append("not dropped")
            except Abandoned:
                ends.append("dropped")
                raise

        places = [executor.admit(), executor.admit()]
        running, waiting = (asyncio.create_task(executor.run(place, job)) for place in places)
        await asyncio.to_thread(begun.wait)
        for task, place in zip((running, waiting), places, strict=True):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            place.leave()
        assert executor.admitted == 1  # the one that waited is gone, and it never began
        gate.set()
        executor.close()
        assert executor.admitted == 0
        assert ends == ["dropped"]
        assert heard.reasons == ["cancelled"] * 2
        assert heard.depths[-1] == (0, 0)

    asyncio.run(main())


def test_what_is_too_late_is_answered_at_once_and_costs_nothing_more() -> None:
    async def main() -> None:
        heard = Heard()
        executor, gate = Executor(1, 5, seconds=0.1, observer=heard), threading.Event()
        began: list[int] = []

        def job() -> None:
            began.append(1)
            gate.wait(30)

        places = [executor.admit() for _ in range(3)]
        start = time.monotonic()
        jobs = [executor.run(place, job) for place in places]
        found = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(error) for error in found] == [DeadlineExceeded] * 3
        assert 0.05 < time.monotonic() - start < 5
        with pytest.raises(DeadlineExceeded):  # of one request, the jobs that are left too
            await executor.run(places[0], job)
        for place in places:
            place.leave()
        assert executor.admitted == 1
        gate.set()
        executor.close()
        assert (executor.admitted, began) == (0, [1])
        assert heard.reasons == ["deadline"] * 3

    asyncio.run(main())


def test_a_deadline_runs_from_when_the_body_has_come() -> None:
    async def main() -> None:
        executor = Executor(1, 1, seconds=0.2)
        place = executor.admit()
        await asyncio.sleep(0.4)
        assert await executor.run(place, lambda: "in time") == "in time"
        executor.close()

    asyncio.run(main())


def test_a_timeout_of_the_job_itself_is_not_the_deadline() -> None:
    def job() -> None:
        raise TimeoutError("of the job")

    async def main() -> None:
        executor = Executor(1, 1, seconds=30)
        with pytest.raises(TimeoutError, match="of the job"):
            await executor.run(executor.admit(), job)
        executor.close()

    asyncio.run(main())


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemory("the device's")])
def test_no_memory_is_told_as_such(error: Exception) -> None:
    def job() -> None:
        raise error

    async def main() -> None:
        heard = Heard()
        executor = Executor(1, 1, observer=heard)
        with pytest.raises(OutOfMemory):
            await executor.run(executor.admit(), job)
        assert heard.reasons == ["device-memory"]
        executor.close()

    asyncio.run(main())


def test_draining_refuses_what_is_new_and_finishes_what_is_not() -> None:
    async def main() -> None:
        heard = Heard()
        executor = Executor(1, 5, observer=heard)
        place = executor.admit()
        executor.drain()
        with pytest.raises(NotReady, match="ending"):
            executor.admit()
        assert await executor.run(place, lambda: "done") == "done"
        assert heard.reasons == ["draining"]
        executor.abandon()
        with pytest.raises(Abandoned):
            await executor.run(place, lambda: "too late")
        executor.close()
        fresh = Executor(1, 1)
        place = fresh.admit()
        fresh.close()
        with pytest.raises(NotReady):
            await fresh.run(place, lambda: "closed")
        place.leave()
        assert fresh.admitted == 0

    asyncio.run(main())


def test_stages_exclude_the_waits_and_an_answer_is_told_of() -> None:
    def job() -> dict[str, float]:
        timing = Timing()
        with timing.stage("net"):
            ticket = CURRENT.get()
            assert ticket is not None
            time.sleep(0.05)
            ticket.waited += 0.04  # as the device's owner adds it
        return timing.finish(7)

    async def main() -> None:
        heard = Heard()
        executor, gate = Executor(1, 1, observer=heard), threading.Event()
        place = executor.admit()
        first = asyncio.create_task(executor.run(place, gate.wait))
        second = asyncio.create_task(executor.run(place, job))
        await asyncio.sleep(0.1)
        gate.set()
        await first
        ms = await second
        assert list(ms) == ["queue", "net", "total"]
        assert ms["queue"] > 80
        assert ms["net"] >= 9
        assert ms["total"] == pytest.approx(ms["queue"] + ms["net"], abs=50)
        assert heard.stages == ["queue", "net", "total"]
        assert heard.counts == [7]
        executor.close()

    asyncio.run(main())
