"""Places on the cluster: keys take turns, and who leaves gives its place or its turn back."""

import asyncio

from neurdicom.workers.fair_semaphore import FairSemaphore


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
