"""The worker's end of the pipe to the supervisor."""

import asyncio
from multiprocessing import Pipe

from app.processes.worker_pipe import State, follow

STATE = State(frozenset({"a-key-of-some-length"}), degraded=True)


def test_a_worker_applies_what_it_is_told_and_says_whether_it_is_ready() -> None:
    applied: list[State] = []
    is_ready = [False, True]
    ours, theirs = Pipe()

    async def main() -> list[bool]:
        follow(theirs, applied.append, lambda: is_ready.pop(0), lambda: None)
        answers = []
        for _ in range(2):
            ours.send(STATE)
            answers.append(await asyncio.to_thread(ours.recv))
        return answers

    with ours, theirs:
        assert asyncio.run(main()) == [False, True]
    assert applied == [STATE, STATE]


def test_a_worker_notices_once_that_the_supervisor_has_ended() -> None:
    ours, theirs = Pipe()
    orphaned: list[bool] = []

    async def main() -> None:
        follow(theirs, lambda state: None, lambda: True, lambda: orphaned.append(True))
        await asyncio.sleep(0.05)
        assert not orphaned
        ours.close()
        await asyncio.sleep(0.05)

    with theirs:
        asyncio.run(main())
    assert orphaned == [True]


def test_the_largest_set_of_keys_fits_into_the_pipe() -> None:
    """A worker that hangs does not read, and must not block its supervisor."""
    keys = frozenset(f"{number:016}" for number in range((64 << 10) // 17))
    ours, theirs = Pipe()
    with ours, theirs:
        ours.send(State(keys, degraded=False))
        assert theirs.recv().keys == keys


def test_keys_are_not_shown() -> None:
    assert "a-key-of" not in repr(STATE)
