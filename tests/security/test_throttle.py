"""Failed sign-ins cost time, and only those who fail pay."""

import pytest

from neurdicom.errors import TooManyAttempts
from neurdicom.security.throttle import ACCOUNT, ADDRESS, FORGET, PAIR, SIZE, Policy, Throttle
from tests.support.users import Clock


def fail(throttle: Throttle, account: str, address: str, times: int, clock: Clock) -> None:
    """Fail so often, waiting as long as it takes."""
    for _ in range(times):
        try:
            throttle.begin(account, address)
        except TooManyAttempts as error:
            clock.now += error.retry_after
            throttle.begin(account, address)


def test_waits_double_up_to_the_longest() -> None:
    policy = Policy(free=2, longest=5.0)
    assert [policy.wait(failures) for failures in range(7)] == [0, 0, 1, 2, 4, 5, 5]
    assert policy.wait(10**6) == 5


def test_the_wait_is_told_and_ends() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    for _ in range(PAIR.free):
        throttle.begin("a@x", "10.0.0.1")
    with pytest.raises(TooManyAttempts) as caught:
        throttle.begin("a@x", "10.0.0.1")
    assert caught.value.retry_after == 1.0
    clock.now += caught.value.retry_after
    throttle.begin("a@x", "10.0.0.1")


def test_attempts_under_way_count() -> None:
    """A burst of guesses is not all let through because none has failed yet."""
    throttle = Throttle(clock=Clock())
    refused = 0
    for _ in range(100):
        try:
            throttle.begin("a@x", "10.0.0.1")
        except TooManyAttempts:
            refused += 1
    assert refused == 100 - PAIR.free


def test_the_wait_begins_when_the_failure_is_known() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    for _ in range(PAIR.free):
        throttle.begin("a@x", "10.0.0.1")
        clock.now += 3  # the check took so long
        throttle.failed("a@x", "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        throttle.begin("a@x", "10.0.0.1")


def test_success_starts_afresh() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    for _ in range(3 * ADDRESS.free):
        throttle.begin("a@x", "10.0.0.1")
        throttle.succeeded("a@x", "10.0.0.1")


def test_the_owner_elsewhere_hardly_notices() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    fail(throttle, "a@x", "10.0.0.1", ACCOUNT.free - 1, clock)
    throttle.begin("a@x", "10.0.0.2")


def test_many_addresses_do_not_help_a_guesser() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    with pytest.raises(TooManyAttempts):
        for number in range(ACCOUNT.free + 1):
            throttle.begin("a@x", f"10.0.0.{number}")


def test_many_accounts_do_not_help_a_guesser() -> None:
    throttle = Throttle(clock=Clock())
    with pytest.raises(TooManyAttempts):
        for number in range(ADDRESS.free + 1):
            throttle.begin(f"user{number}@x", "10.0.0.1")


def test_failures_are_forgotten_in_time() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    fail(throttle, "a@x", "10.0.0.1", 12, clock)
    clock.now += FORGET
    for _ in range(PAIR.free):
        throttle.begin("a@x", "10.0.0.1")


def test_memory_is_bounded() -> None:
    clock = Clock()
    throttle = Throttle(clock=clock)
    for number in range(SIZE):
        throttle.begin(f"user{number}@x", f"address {number}")
    assert len(throttle._records) <= SIZE
