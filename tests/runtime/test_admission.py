import asyncio
import threading
import time

import pytest

from app.errors import Abandoned, DeadlineExceeded, NotReady, OutOfMemory, Overloaded
from app.runtime.admission import Admission
from app.runtime.telemetry import RejectReason, Telemetry
from app.runtime.timing import Timing, current_timing


class RecordingTelemetry(Telemetry):
    """Records the events it receives."""

    def __init__(self) -> None:
        self.depths: list[tuple[int, int]] = []
        self.reasons: list[RejectReason] = []
        self.stages: list[str] = []
        self.counts: list[int] = []

    def queue_depth(self, waiting: int, running: int) -> None:
        self.depths.append((waiting, running))

    def rejected(self, reason: RejectReason) -> None:
        self.reasons.append(reason)

    def stage(self, name: str, seconds: float) -> None:
        assert seconds >= 0
        self.stages.append(name)

    def faces(self, count: int) -> None:
        self.counts.append(count)


def timing_of_this_job() -> Timing:
    timing = current_timing()
    assert timing is not None
    return timing


def test_jobs_run_in_threads_and_answer() -> None:
    async def main() -> None:
        admission = Admission(2, 2)
        context = admission.admit()
        assert await admission.run(context, lambda: 6 * 7) == 42
        assert await admission.run(context, threading.current_thread) is not threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await admission.run(context, lambda: 1 // 0)
        assert admission.admitted == 1
        admission.release(context)
        admission.release(context)
        assert admission.admitted == 0
        admission.close()

    asyncio.run(main())


def test_a_place_is_taken_with_the_first_job_and_the_queue_is_bounded() -> None:
    async def main() -> None:
        telemetry = RecordingTelemetry()
        admission, gate = Admission(1, 2, telemetry=telemetry), threading.Event()
        bodies = [admission.admit() for _ in range(10)]  # whose bodies are still arriving
        contexts = [admission.admit() for _ in range(3)]
        held = [asyncio.create_task(admission.run(context, gate.wait)) for context in contexts]
        await asyncio.sleep(0.05)
        try:
            with pytest.raises(Overloaded, match="All 3 places"):  # before its body is read
                admission.admit()
            with pytest.raises(Overloaded, match="All 3 places"):  # after it
                await admission.run(bodies[0], gate.wait)
        finally:
            gate.set()
        assert await asyncio.gather(*held) == [True, True, True]
        assert telemetry.reasons == ["queue-full"] * 2
        assert max(waiting for waiting, _ in telemetry.depths) >= 2
        assert {running for _, running in telemetry.depths} == {0, 1}
        assert telemetry.depths[-1] == (0, 0)
        admission.release(contexts[0])
        assert await admission.run(bodies[0], gate.wait)
        assert admission.admitted == 12
        admission.close()

    asyncio.run(main())


def test_at_most_so_many_jobs_run_at_once() -> None:
    async def main() -> None:
        admission = Admission(3, 100)
        running, most, lock = 0, 0, threading.Lock()

        def job() -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1

        context = admission.admit()
        await asyncio.gather(*(admission.run(context, job) for _ in range(20)))
        assert most == 3
        admission.close()

    asyncio.run(main())


def test_a_job_whose_caller_has_gone_keeps_its_place_until_its_next_stage() -> None:
    async def main() -> None:
        telemetry = RecordingTelemetry()
        admission, gate, begun = Admission(1, 1, telemetry=telemetry), threading.Event(), threading.Event()
        ends: list[str] = []

        def job() -> None:
            timing = timing_of_this_job()
            with timing.stage("first"):
                begun.set()
                gate.wait()
            try:
                with timing.stage("second"):
                    ends.append("not dropped")
            except Abandoned:
                ends.append("dropped")
                raise

        contexts = [admission.admit(), admission.admit()]
        running, waiting = (asyncio.create_task(admission.run(context, job)) for context in contexts)
        await asyncio.to_thread(begun.wait)
        for task, context in zip((running, waiting), contexts, strict=True):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            admission.release(context)
        assert admission.admitted == 1  # the one that waited is gone, and it never began
        gate.set()
        admission.close()
        assert admission.admitted == 0
        assert ends == ["dropped"]
        assert telemetry.reasons == ["cancelled"] * 2
        assert telemetry.depths[-1] == (0, 0)

    asyncio.run(main())


def test_a_slot_is_occupied_until_the_last_job_has_ended_however_often_it_is_released() -> None:
    async def main() -> None:
        admission, gates = Admission(2, 0), [threading.Event(), threading.Event()]
        context = admission.admit()
        jobs = [asyncio.create_task(admission.run(context, gate.wait)) for gate in gates]
        await asyncio.sleep(0.05)
        for _ in range(3):
            admission.release(context)
        assert admission.admitted == 1
        gates[0].set()
        assert await jobs[0]
        assert admission.admitted == 1
        gates[1].set()
        assert await jobs[1]
        admission.close()
        assert admission.admitted == 0

    asyncio.run(main())


def test_what_is_too_late_is_answered_at_once_and_costs_nothing_more() -> None:
    async def main() -> None:
        telemetry = RecordingTelemetry()
        admission, gate = Admission(1, 5, timeout_s=0.1, telemetry=telemetry), threading.Event()
        began: list[int] = []

        def job() -> None:
            began.append(1)
            gate.wait(30)

        contexts = [admission.admit() for _ in range(3)]
        start = time.monotonic()
        jobs = [admission.run(context, job) for context in contexts]
        found = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(error) for error in found] == [DeadlineExceeded] * 3
        assert 0.05 < time.monotonic() - start < 5
        with pytest.raises(DeadlineExceeded):  # of one request, the jobs that are left too
            await admission.run(contexts[0], job)
        for context in contexts:
            admission.release(context)
        assert admission.admitted == 1
        gate.set()
        admission.close()
        assert (admission.admitted, began) == (0, [1])
        assert telemetry.reasons == ["deadline"] * 3

    asyncio.run(main())


def test_a_deadline_runs_from_when_the_body_has_come() -> None:
    async def main() -> None:
        admission = Admission(1, 1, timeout_s=0.2)
        context = admission.admit()
        await asyncio.sleep(0.4)
        assert await admission.run(context, lambda: "in time") == "in time"
        admission.close()

    asyncio.run(main())


def test_a_timeout_of_the_job_itself_is_not_the_deadline() -> None:
    def job() -> None:
        raise TimeoutError("of the job")

    async def main() -> None:
        admission = Admission(1, 1, timeout_s=30)
        with pytest.raises(TimeoutError, match="of the job"):
            await admission.run(admission.admit(), job)
        admission.close()

    asyncio.run(main())


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemory("the device's")])
def test_no_memory_is_told_as_such(error: Exception) -> None:
    def job() -> None:
        raise error

    async def main() -> None:
        telemetry = RecordingTelemetry()
        admission = Admission(1, 1, telemetry=telemetry)
        with pytest.raises(OutOfMemory):
            await admission.run(admission.admit(), job)
        assert telemetry.reasons == ["device-memory"]
        admission.close()

    asyncio.run(main())


def test_draining_refuses_what_is_new_and_finishes_what_is_not() -> None:
    async def main() -> None:
        telemetry = RecordingTelemetry()
        admission = Admission(1, 5, telemetry=telemetry)
        context = admission.admit()
        admission.drain()
        with pytest.raises(NotReady, match="stopping"):
            admission.admit()
        assert await admission.run(context, lambda: "done") == "done"
        assert telemetry.reasons == ["draining"]
        admission.abandon()
        with pytest.raises(Abandoned):
            await admission.run(context, lambda: "too late")
        admission.close()
        fresh = Admission(1, 1)
        context = fresh.admit()
        fresh.close()
        with pytest.raises(NotReady):
            await fresh.run(context, lambda: "closed")
        fresh.release(context)
        assert fresh.admitted == 0

    asyncio.run(main())


def test_stages_exclude_the_waits_and_an_answer_is_told_of() -> None:
    def job() -> dict[str, float]:
        timing = timing_of_this_job()
        with timing.stage("net"):
            time.sleep(0.05)
            timing.add_wait(0.04)  # as the scheduler does
        return timing.finish(7)

    async def main() -> None:
        telemetry = RecordingTelemetry()
        admission, gate = Admission(1, 1, telemetry=telemetry), threading.Event()
        context = admission.admit()
        first = asyncio.create_task(admission.run(context, gate.wait))
        second = asyncio.create_task(admission.run(context, job))
        await asyncio.sleep(0.1)
        gate.set()
        await first
        ms = await second
        assert list(ms) == ["queue", "net", "total"]
        assert ms["queue"] > 80
        assert ms["net"] >= 9
        assert ms["total"] == pytest.approx(ms["queue"] + ms["net"], abs=50)
        assert telemetry.stages == ["queue", "net", "total"]
        assert telemetry.counts == [7]
        admission.close()

    asyncio.run(main())


def test_each_job_has_a_timing_of_its_own() -> None:
    async def main() -> None:
        admission = Admission(1, 1)
        context = admission.admit()
        first, second = [await admission.run(context, timing_of_this_job) for _ in range(2)]
        assert first is not second
        admission.close()

    assert current_timing() is None
    asyncio.run(main())
