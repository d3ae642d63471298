"""Answering before a request's body has arrived, without losing the answer.

A connection that is closed while its client still sends is reset, and the reset may overtake the answer: the client
sees a broken pipe where it was told "401". So an early answer goes out at once, and the rest of the body is then
read and thrown away, within limits; the connection can be used again.
"""

import asyncio
from typing import Any

from tornado.web import RequestHandler, stream_request_body

#: For how long the rest of a body is thrown away; a client that goes on sending then is cut off.
LINGER_SECONDS = 10.0


@stream_request_body
class EarlyAnswerHandler(RequestHandler):
    """A handler of streamed bodies that may finish at any time, in `prepare` and in `data_received` too."""

    _sent: "asyncio.Future[None] | None" = None
    _lingering: asyncio.TimerHandle | None = None

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Finish the answer; the request as well, once its body is here."""
        if self._sent is not None:
            return self._sent
        # Tornado's own record of the body; there is no public one. It is open in `prepare` of a GET, too.
        body = self.request._body_future
        if body.done():
            return super().finish(chunk)
        if "Expect" in self.request.headers:
            # The client waits for our word before it sends, and will not send.
            self.set_header("Connection", "close")
            return super().finish(chunk)
        if chunk is not None:
            self.write(chunk)
        self.set_header("Content-Length", sum(map(len, self._write_buffer)))
        self._sent = self.flush()
        self.data_received = self._discard  # type: ignore[method-assign]
        setattr(self, (self.request.method or "get").lower(), self._answered)
        self._lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._end)
        body.add_done_callback(lambda _: self._end())
        return self._sent

    def on_connection_close(self) -> None:
        """The client went away."""
        super().on_connection_close()
        if self._lingering is not None:
            self._lingering.cancel()

    def _end(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        if not self._finished:
            super().finish()

    def _discard(self, chunk: bytes) -> None:
        """Throw a piece of the body away."""

    async def _answered(self, *args: str) -> None:
        """Stand in for the method that must not run any more."""
