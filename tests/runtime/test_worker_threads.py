"""Large jobs hold at most half of the worker threads and of the places; small jobs do not wait for them."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import Abandoned, BadParameter, OutOfMemory, Overloaded
from app.runtime.admission import Admission
from app.runtime.request_context import RequestContext
from app.runtime.scheduler import DeviceScheduler
from app.runtime.timing import current_timing
from app.runtime.worker_threads import LARGE_MS, Job, WorkerThreads
from tests.runtime.test_admission import RecordingTelemetry


def expect(milliseconds: float) -> None:
    timing = current_timing()
    assert timing is not None
    timing.expect(milliseconds)


def large(gate: threading.Event, starts: list[str], name: str = "large") -> Callable[[], str]:
    def job() -> str:
        expect(LARGE_MS)
        starts.append(name)
        gate.wait(30)
        return name

    return job


def submit(admission: Admission, job: Callable[[], str]) -> "asyncio.Task[str]":
    async def request() -> str:
        context = admission.admit()
        try:
            return await admission.run(context, job)
        finally:
            admission.release(context)

    return asyncio.create_task(request())


def test_small_jobs_run_beside_any_number_of_large_ones() -> None:
    async def main() -> None:
        telemetry = RecordingTelemetry()
        admission, gate, starts = Admission(4, 20, telemetry=telemetry), threading.Event(), list[str]()
        held = [submit(admission, large(gate, starts)) for _ in range(10)]
        await asyncio.sleep(0.05)
        assert starts == ["large"] * 2
        assert telemetry.depths[-1] == (8, 2)
        for _ in range(5):
            assert await asyncio.wait_for(submit(admission, lambda: "small"), 10) == "small"
        gate.set()
        assert await asyncio.gather(*held) == ["large"] * 10
        assert starts == ["large"] * 10
        assert telemetry.depths[-1] == (0, 0)
        assert admission.admitted == 0
        admission.close()

    asyncio.run(main())


def test_large_jobs_run_in_order_beside_any_number_of_small_ones() -> None:
    async def main() -> None:
        admission, gate, starts = Admission(2, 50), threading.Event(), list[str]()
        first = [submit(admission, large(gate, starts, f"large {i}")) for i in range(3)]
        await asyncio.sleep(0.05)
        over = threading.Event()

        def small() -> str:
            time.sleep(0.002)
            return "small"

        async def client() -> None:
            while not over.is_set():
                await submit(admission, small)

        clients = [asyncio.create_task(client()) for _ in range(8)]
        gate.set()
        try:
            assert await asyncio.wait_for(asyncio.gather(*first), 10) == ["large 0", "large 1", "large 2"]
        finally:
            over.set()
        await asyncio.gather(*clients)
        assert starts == ["large 0", "large 1", "large 2"]
        admission.close()

    asyncio.run(main())


def test_large_images_hold_at_most_half_of_the_places() -> None:
    async def main() -> None:
        telemetry = RecordingTelemetry()
        admission, gate = Admission(2, 4, telemetry=telemetry), threading.Event()
        held = [submit(admission, large(gate, [])) for _ in range(6)]
        await asyncio.sleep(0.1)
        assert await submit(admission, lambda: "small") == "small"
        gate.set()
        answers = await asyncio.gather(*held, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Overloaded)]
        assert len(refused) == 3
        assert "All 3 places for large images" in str(refused[0])
        assert answers.count("large") == 3
        assert telemetry.reasons == ["queue-full"] * 3
        admission.close()

    asyncio.run(main())


def test_one_batch_takes_one_place_for_all_its_large_images() -> None:
    async def main() -> None:
        admission, gate = Admission(2, 2), threading.Event()
        context, starts = admission.admit(), list[str]()
        jobs = [asyncio.create_task(admission.run(context, large(gate, starts))) for _ in range(8)]
        await asyncio.sleep(0.05)
        gate.set()
        assert await asyncio.gather(*jobs) == ["large"] * 8
        admission.release(context)
        assert admission.admitted == 0
        admission.close()

    asyncio.run(main())


def test_faces_count_as_well_as_pixels_and_a_postponed_job_starts_again() -> None:
    async def main() -> None:
        admission, gate, tries = Admission(2, 8), threading.Event(), list[int]()

        def crowd() -> str:
            expect(LARGE_MS / 4)  # the pixels
            tries.append(1)
            expect(LARGE_MS)  # the faces
            return "crowd"

        first = submit(admission, large(gate, []))
        await asyncio.sleep(0.05)
        second = submit(admission, crowd)
        await asyncio.sleep(0.05)
        assert len(tries) == 1
        assert not second.done()
        assert await submit(admission, lambda: "small") == "small"
        gate.set()
        assert [await first, await second] == ["large", "crowd"]
        assert len(tries) == 2
        admission.close()

    asyncio.run(main())


def test_a_postponed_job_is_queued_after_its_thread_has_left_its_variables() -> None:
    """Another thread that takes it earlier cannot enter them, and ends."""

    class Variables:
        def __init__(self, job: Job) -> None:
            self.job, self.context = job, job.variables

        def run(self, function: Callable[..., Any], *args: Any) -> Any:
            answer = self.context.run(function, *args)
            queued.append(self.job in threads._waiting[True])
            return answer

    async def main() -> None:
        gate = threading.Event()
        held, postponed = (Job(RequestContext(), large(gate, [])) for _ in range(2))
        postponed.variables = Variables(postponed)  # type: ignore[assignment]
        done = [threads.submit(held)]
        await asyncio.sleep(0.05)
        done.append(threads.submit(postponed))
        await asyncio.sleep(0.05)
        assert queued == [False]
        gate.set()
        assert await asyncio.gather(*done) == ["large"] * 2

    queued: list[bool] = []
    threads = WorkerThreads(2, lambda _: None, lambda _: None)
    asyncio.run(main())
    threads.close()


def test_a_batch_that_gets_no_place_is_refused_once() -> None:
    async def main() -> None:
        telemetry, gate = RecordingTelemetry(), threading.Event()
        admission = Admission(2, 2, telemetry=telemetry)
        held = [submit(admission, large(gate, [])) for _ in range(2)]
        await asyncio.sleep(0.05)
        context = admission.admit()
        with pytest.raises(Overloaded, match="large images and batches"):
            admission.place(context, large=True)
        assert telemetry.reasons == ["queue-full"]
        gate.set()
        await asyncio.gather(*held)
        admission.place(context, large=True)
        jobs = [asyncio.create_task(admission.run(context, lambda: time.sleep(0.2), True)) for _ in range(4)]
        await asyncio.sleep(0.05)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        assert telemetry.reasons == ["queue-full", "cancelled"]
        admission.release(context)
        admission.close()
        assert admission.admitted == 0

    asyncio.run(main())


def test_the_wait_of_a_postponed_job_is_in_its_queue_time_and_its_deadline_is_exact() -> None:
    async def main() -> None:
        admission, gate = Admission(2, 8, timeout_s=30), threading.Event()

        def timed() -> str:
            expect(LARGE_MS)
            timing = current_timing()
            assert timing is not None
            return str(timing.ms["queue"])

        first = submit(admission, large(gate, []))
        await asyncio.sleep(0.02)
        waits = submit(admission, timed)
        dropped = submit(admission, large(gate, []))
        await asyncio.sleep(0.1)
        dropped.cancel()
        await asyncio.gather(dropped, return_exceptions=True)
        assert admission.admitted == 2  # a job that is cancelled while it waits leaves at once
        gate.set()
        assert float(await waits) > 90
        await first
        admission.close()

    asyncio.run(main())


def test_with_one_thread_no_job_is_large() -> None:
    async def main() -> None:
        admission, gate, starts = Admission(1, 8), threading.Event(), list[str]()
        gate.set()
        jobs = [submit(admission, large(gate, starts)) for _ in range(4)]
        assert await asyncio.gather(*jobs) == ["large"] * 4
        assert len(starts) == 4
        admission.close()

    asyncio.run(main())


def test_a_refusal_tells_how_long_the_waiting_requests_take() -> None:
    async def main() -> None:
        admission, gate = Admission(2, 4), threading.Event()
        held = [submit(admission, large(gate, [])) for _ in range(3)]
        await asyncio.sleep(0.2)  # as long as the running job has taken so far
        refused = submit(admission, large(gate, []))
        with pytest.raises(Overloaded) as caught:
            await refused
        assert 0.3 < caught.value.retry_after_s < 5  # two wait
        gate.set()
        await asyncio.gather(*held)
        admission.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        RuntimeError("OpenCV(4.14.0) error: (-4:Insufficient memory) Failed to allocate 11997564 bytes"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_no_memory_is_told_as_such_whichever_library_lacks_it(error: Exception) -> None:
    def job() -> str:
        raise error

    async def main() -> None:
        admission = Admission(1, 1)
        with pytest.raises(OutOfMemory):
            await submit(admission, job)
        admission.close()

    asyncio.run(main())


def test_the_text_of_a_client_is_not_taken_for_a_lack_of_memory() -> None:
    def job() -> str:
        raise BadParameter("The parameter 'out of memory' is unknown.")

    async def main() -> None:
        admission = Admission(1, 1)
        with pytest.raises(BadParameter):
            await submit(admission, job)
        admission.close()

    asyncio.run(main())


def test_an_image_is_freed_with_its_job() -> None:
    class Image:
        pass

    async def main() -> None:
        admission = Admission(1, 1)
        image = Image()
        freed = weakref.ref(image)

        def job(image: Image = image) -> str:
            return "done"

        await submit(admission, job)
        del image, job
        await asyncio.sleep(0.05)
        assert freed() is None
        admission.close()

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def test_closing_ends_waiting_jobs_and_all_threads() -> None:
    before = set(threading.enumerate())

    async def main() -> None:
        admission, gate = Admission(2, 8), threading.Event()
        held = [submit(admission, large(gate, [])) for _ in range(3)]
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(asyncio.to_thread(admission.close))
        await asyncio.sleep(0.05)
        gate.set()
        await closing
        answers = await asyncio.gather(*held, return_exceptions=True)
        assert [type(answer) for answer in answers] == [str, Abandoned, Abandoned]
        assert admission.admitted == 0

    asyncio.run(main())
    started = set(threading.enumerate()) - before
    assert not [thread for thread in started if thread.name.startswith("facet_")]


def test_all_threads_start_with_the_service_because_later_there_may_be_no_memory_for_one() -> None:
    def names(prefix: str) -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith(prefix)}

    jobs, slots = names("facet_"), names("slot")
    admission, scheduler = Admission(5, 0), DeviceScheduler(3)
    assert len(names("facet_") - jobs) == 5
    assert len(names("slot") - slots) == 3
    assert scheduler.waiting == 0
    admission.close()
