"""Fairness: keys take turns in the queue and at the semaphore, and who leaves gives its place or its turn back."""

import asyncio

import pytest

from neurdicom.fairness import FairSemaphore, RoundRobin


def test_keys_take_turns() -> None:
    async def scenario() -> None:
        semaphore, order = FairSemaphore(lambda: 1), []

        async def enter(name: str) -> None:
            async with semaphore.place(name.split()[0]):
                order.append(name)
                await asyncio.sleep(0)

        names = [*(f"ann {n}" for n in range(4)), "bob 0", "bob 1"]
        await asyncio.gather(*(enter(name) for name in names))
        assert order == ["ann 0", "ann 1", "bob 0", "ann 2", "bob 1", "ann 3"]

    asyncio.run(scenario())


def test_who_leaves_takes_no_place() -> None:
    async def scenario() -> None:
        semaphore, entered = FairSemaphore(lambda: 2), []

        async def enter(name: str, gate: asyncio.Event) -> None:
            async with semaphore.place(name):
                entered.append(name)
                await gate.wait()

        closed, opened = asyncio.Event(), asyncio.Event()
        opened.set()
        tasks = [asyncio.create_task(enter(str(n), closed)) for n in range(6)]
        await asyncio.sleep(0)
        for task in tasks[1:4]:  # one that has a place, and two that wait
            task.cancel()
        await asyncio.sleep(0.01)
        assert entered == ["0", "1", "4"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(asyncio.gather(enter("7", opened), enter("8", opened)), 5)

    asyncio.run(scenario())


def queued(*items: tuple[str, str]) -> RoundRobin[str]:
    queue: RoundRobin[str] = RoundRobin()
    for key, item in items:
        queue.append(key, item)
    return queue


def test_an_item_that_waits_keeps_its_place() -> None:
    queue = queued(("ann", "1"), ("ann", "2"), ("bob", "3"), ("ann", "1"))
    assert len(queue) == 3
    assert (queue.peek(), [queue.pop() for _ in range(3)]) == ("1", ["1", "3", "2"])
    with pytest.raises(LookupError):
        queue.pop()


def test_a_key_may_be_passed_over() -> None:
    queue = queued(("ann", "1"), ("bob", "2"), ("bob", "3"), ("cy", "4"))
    assert list(queue.waiting_keys()) == ["ann", "bob", "cy"]
    assert queue.pop("bob") == "2"
    assert list(queue.waiting_keys()) == ["ann", "cy", "bob"], "who has had a turn is the last"
    assert [queue.pop() for _ in range(3)] == ["1", "4", "3"]
    with pytest.raises(LookupError):
        queue.pop("bob")


def test_what_is_put_back_comes_first_and_what_is_removed_never() -> None:
    queue = queued(("ann", "1"), ("bob", "2"), ("bob", "3"))
    assert queue.remove("bob", "2")
    assert not queue.remove("bob", "2")
    assert not queue.remove("cy", "1")
    queue.put_back("bob", "0")
    assert [queue.pop() for _ in range(3)] == ["0", "1", "3"]
