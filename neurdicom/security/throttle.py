"""Throttling of failed sign-ins: the more failures, the longer the wait before the next attempt."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from neurdicom.errors import TooManyAttempts


@dataclass(frozen=True, slots=True)
class Policy:
    """Waits after failures.

    Attributes
    ----------
    free : int
        Failures without a wait.
    longest : float
        Longest wait in seconds; the wait doubles with each further failure, from one second up to this.
    """

    free: int
    longest: float

    def wait(self, failures: int) -> float:
        """Compute the seconds to wait after a number of failures."""
        return 0.0 if failures < self.free else min(self.longest, 2.0 ** min(failures - self.free, 32))


#: Policies for one account from one address; for one account from anywhere, so that many addresses do not help a
#: guesser and yet a stranger's failures hardly keep the owner out; and for one address, whatever the account.
PAIR = Policy(free=5, longest=300.0)
ACCOUNT = Policy(free=20, longest=30.0)
ADDRESS = Policy(free=50, longest=60.0)

#: Seconds without a failure after which the earlier ones are forgotten.
FORGET = 900.0
SIZE = 10_000

_Key = tuple[str, str]


@dataclass(slots=True)
class _Record:
    failures: int
    last: float


class Throttle:
    """Throttle of failed sign-ins of this process, in bounded memory."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[_Key, _Record] = OrderedDict()

    def begin(self, account: str, address: str) -> None:
        """Count an attempt as failed until `succeeded` says otherwise, so that parallel guesses count as well.

        A call of `failed` or `succeeded` follows.

        Raises
        ------
        TooManyAttempts
            It is too early; this attempt is not counted.
        """
        now = self._clock()
        keys = self._keys(account, address)
        wait = max(self._remaining(key, policy, now) for key, policy in keys)
        if wait > 0:
            raise TooManyAttempts(f"too many failed sign-ins; try again in {wait:.0f} s", retry_after=max(1.0, wait))
        for key, _ in keys:
            record = self._records.setdefault(key, _Record(0, now))
            record.failures = record.failures + 1 if now - record.last < FORGET else 1
            record.last = now
            self._records.move_to_end(key)
        while len(self._records) > SIZE:
            self._records.popitem(last=False)

    def failed(self, account: str, address: str) -> None:
        """Note that the attempt was wrong: the wait begins now, however long the check took."""
        now = self._clock()
        for key, _ in self._keys(account, address):
            record = self._records.get(key)
            if record is not None:
                record.last = now

    def succeeded(self, account: str, address: str) -> None:
        """Note that the attempt was right: forget the account's failures, and give the address its attempt back."""
        (pair, _), (everywhere, _), (origin, _) = self._keys(account, address)
        self._records.pop(pair, None)
        self._records.pop(everywhere, None)
        record = self._records.get(origin)
        if record is not None:
            record.failures = max(0, record.failures - 1)

    def _remaining(self, key: _Key, policy: Policy, now: float) -> float:
        record = self._records.get(key)
        if record is None or now - record.last >= FORGET:
            return 0.0
        return record.last + policy.wait(record.failures) - now

    @staticmethod
    def _keys(account: str, address: str) -> tuple[tuple[_Key, Policy], ...]:
        return ((account, address), PAIR), ((account, "*"), ACCOUNT), (("*", address), ADDRESS)
