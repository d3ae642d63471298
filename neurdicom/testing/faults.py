"""Fault injection: wrappers that make calls of an adapter's verb fail or wait, for tests of its users."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Fault:
    """Context manager that replaces one async verb of an object by one that fails or waits.

    Parameters
    ----------
    target : object
        An adapter.
    verb : str
        Name of its method.
    error : Exception, optional
        The exception that the chosen calls raise.
    calls : Callable[..., bool], optional
        Takes a call's positional arguments and tells whether it is chosen; by default all calls are.
    after : bool
        True to raise after the verb has done its work, as a connection that breaks before the answer.
    delay : float
        Seconds that chosen calls wait before they begin.

    Attributes
    ----------
    count : int
        Number of calls chosen so far.
    """

    def __init__(
        self,
        target: object,
        verb: str,
        error: Exception | None = None,
        *,
        calls: Callable[..., bool] = lambda *_: True,
        after: bool = False,
        delay: float = 0.0,
    ) -> None:
        self.count = 0
        self._target = target
        self._verb = verb
        self._error = error
        self._calls = calls
        self._after = after
        self._delay = delay
        self._real: Callable[..., Awaitable[Any]] = getattr(target, verb)

    async def _call(self, *args: Any, **options: Any) -> Any:
        if not self._calls(*args):
            return await self._real(*args, **options)
        self.count += 1
        await asyncio.sleep(self._delay)
        if self._error is not None and not self._after:
            raise self._error
        result = await self._real(*args, **options)
        if self._error is not None:
            raise self._error
        return result

    def __enter__(self) -> "Fault":
        setattr(self._target, self._verb, self._call)
        return self

    def __exit__(self, *_: object) -> None:
        delattr(self._target, self._verb)
