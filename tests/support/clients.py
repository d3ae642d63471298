"""Both clients of the REST API, with one way to use them."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from neurdicom.client import AsyncClient, Client


@dataclass(frozen=True)
class Caller:
    """Does one operation with one of the clients; answers its result, of iterators a list."""

    is_async: bool

    def __call__(self, url: str, operation: Callable[[Any], Any], token: str | None = None) -> Any:
        if self.is_async:
            return asyncio.run(self._await(url, operation, token))
        with Client(url, token) as client:
            done = operation(client)
            return list(done) if isinstance(done, Iterator) else done

    async def _await(self, url: str, operation: Callable[[Any], Any], token: str | None) -> Any:
        async with AsyncClient(url, token) as client:
            done = operation(client)
            if isinstance(done, AsyncIterator):
                return [each async for each in done]
            assert inspect.iscoroutine(done)
            return await done
