"""The scheduler: who is next, how many at once, and who leaves. No processes."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from neurdicom.workers.call import Priority
from neurdicom.workers.scheduler import AIM, BatchSize, Scheduler


@dataclass(eq=False)
class QueuedCall:
    name: str
    fairness: str = ""
    priority: Priority = Priority.BACKGROUND
    is_batchable: bool = True


def scheduler(*calls: QueuedCall, seconds: float = 1.0) -> Scheduler[QueuedCall]:
    """A scheduler in which these wait, after calls that took so long."""
    batch = BatchSize()
    for _ in range(60):
        batch.observe(0.99 * seconds)
    made: Scheduler[QueuedCall] = Scheduler(batch)
    for call in calls:
        made.put(call, now=1.0)
    return made


def names(calls: list[QueuedCall]) -> list[str]:
    return [call.name for call in calls]


def all_of(waiting: Scheduler[QueuedCall], sharers: int = 1) -> list[list[str]]:
    """Take all that workers take, one after the other."""
    taken = []
    while calls := waiting.take(2.0, sharers):
        taken.append(names(calls))
    return taken


def in_order(waiting: Scheduler[QueuedCall]) -> list[str]:
    return [name for calls in all_of(waiting) for name in calls]


def test_interactive_calls_go_first() -> None:
    waiting = scheduler(
        QueuedCall("a"), QueuedCall("b", priority=Priority.INTERACTIVE), QueuedCall("c", priority=Priority.INTERACTIVE)
    )
    assert waiting.has_interactive
    assert all_of(waiting) == [["b"], ["c"], ["a"]]


def test_the_background_takes_no_worker_that_is_not_its_own() -> None:
    waiting = scheduler(QueuedCall("a"), QueuedCall("b", priority=Priority.INTERACTIVE))
    assert all_of(waiting, sharers=0) == [["b"]]
    assert len(waiting) == 1


def test_keys_take_turns() -> None:
    waiting = scheduler(
        *(QueuedCall(f"ann {n}", "ann") for n in range(4)), QueuedCall("bob 0", "bob"), QueuedCall("bob 1", "bob")
    )
    assert in_order(waiting) == ["ann 0", "bob 0", "ann 1", "bob 1", "ann 2", "ann 3"]


def test_keys_take_turns_in_a_batch_too() -> None:
    calls = [QueuedCall(f"{user} {n}", user) for user in ("ann", "bob") for n in range(8)]
    (first, *_) = all_of(scheduler(*calls, seconds=AIM / 4))
    assert first == ["ann 0", "bob 0", "ann 1", "bob 1"]


def test_batches_are_as_large_as_calls_are_short() -> None:
    calls = [QueuedCall(str(n)) for n in range(40)]
    for seconds, size in ((1.0, 1), (AIM, 1), (AIM / 5, 5), (AIM / 1000, 16)):
        assert len(scheduler(*calls, seconds=seconds).take(2.0, 1)) == size


def test_workers_share_what_waits() -> None:
    waiting = scheduler(*(QueuedCall(str(n)) for n in range(10)), seconds=AIM / 16)
    assert [len(waiting.take(2.0, sharers)) for sharers in (4, 3, 2, 1)] == [3, 3, 2, 2]


def test_a_call_that_may_not_go_in_a_batch_goes_alone() -> None:
    long = QueuedCall("long", is_batchable=False)
    waiting = scheduler(QueuedCall("a"), QueuedCall("b"), long, QueuedCall("c"), seconds=AIM / 16)
    assert all_of(waiting) == [["a", "b"], ["long"], ["c"]]


def test_what_was_not_done_is_the_next() -> None:
    waiting = scheduler(
        *(QueuedCall(f"{user} {n}", user) for n in range(3) for user in ("ann", "bob")), seconds=AIM / 4
    )
    taken = waiting.take(2.0, 1)
    waiting.put_back(taken[1:], now=2.0)
    assert in_order(waiting)[:3] == names(taken[1:])


def test_slots_keep_workers_busy() -> None:
    batch = BatchSize()
    assert batch.slots(2) == 3, "one waits for the first worker that is free"
    for _ in range(60):
        batch.observe(AIM / 100)
    assert batch.slots(2) == 3 * 2 * 16


def test_since_when_calls_wait() -> None:
    waiting = scheduler()
    waiting.put(QueuedCall("a"), now=3.0)
    waiting.put(QueuedCall("b"), now=4.0)
    assert waiting.served == 3.0
    waiting.take(5.0, 1)
    assert waiting.served == 5.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(Priority), st.booleans()), max_size=30), st.data())
def test_nothing_is_lost_and_nothing_comes_twice(made: list[tuple[str, Priority, bool]], data: st.DataObject) -> None:
    calls = [QueuedCall(str(n), *each) for n, each in enumerate(made)]
    waiting = scheduler(*calls, seconds=AIM / 3)
    gone = data.draw(st.lists(st.sampled_from(calls), unique_by=id)) if calls else []
    assert all(waiting.remove(call) for call in gone)
    assert not any(waiting.remove(call) for call in gone)
    assert len(waiting) == len(calls) - len(gone)
    left = in_order(waiting)
    assert sorted(left) == sorted(call.name for call in calls if call not in gone)
    assert len(waiting) == 0
