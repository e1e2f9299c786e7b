import asyncio
import threading
import time

import pytest

from app.errors import Overloaded
from app.pipeline.executor import Executor


def test_jobs_run_in_threads_and_answer() -> None:
    async def main() -> None:
        executor = Executor(2, 2)
        assert await executor.run(lambda: 6 * 7) == 42
        assert await executor.run(threading.current_thread) is not threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await executor.run(lambda: 1 // 0)
        assert executor.admitted == 0
        executor.close()

    asyncio.run(main())


def test_the_event_loop_stays_free_and_the_queue_is_bounded() -> None:
    async def main() -> None:
        executor, gate = Executor(1, 2), threading.Event()
        held = [asyncio.create_task(executor.run(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert executor.admitted == 3
        try:
            with pytest.raises(Overloaded, match="All 3 places"):
                await asyncio.wait_for(executor.run(gate.wait), 2)
            with pytest.raises(Overloaded):
                executor.ensure_room()
        finally:
            gate.set()
        assert await asyncio.gather(*held) == [True, True, True]
        assert executor.admitted == 0
        executor.ensure_room()
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

        await asyncio.gather(*(executor.run(job) for _ in range(20)))
        assert most == 3
        executor.close()

    asyncio.run(main())


def test_a_job_whose_caller_has_gone_keeps_its_place_until_it_ends() -> None:
    async def main() -> None:
        executor, gate, begun = Executor(1, 1), threading.Event(), threading.Event()

        def job() -> None:
            begun.set()
            gate.wait()

        running = asyncio.create_task(executor.run(job))
        waiting = asyncio.create_task(executor.run(job))
        await asyncio.to_thread(begun.wait)
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        assert executor.admitted == 1
        gate.set()
        executor.close()
        assert executor.admitted == 0

    asyncio.run(main())
