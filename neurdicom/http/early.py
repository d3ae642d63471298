"""Early answers, sent before a request's body has arrived, without losing them.

A connection that is closed while its client still sends is reset, and the reset may overtake the answer: the client
sees a broken pipe instead of "401". So an early answer is sent at once, and the rest of the body is then read and
dropped, within limits; the connection can be used again.
"""

import asyncio
from typing import Any

from tornado.web import RequestHandler, stream_request_body

#: Seconds for which the rest of a body is read and dropped; then the connection is closed.
LINGER_SECONDS = 10.0


@stream_request_body
class EarlyAnswerHandler(RequestHandler):
    """Handler of streamed bodies that may finish at any time, also in `prepare` and in `data_received`."""

    _sent: "asyncio.Future[None] | None" = None
    _lingering: asyncio.TimerHandle | None = None

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Finish the answer; the request is finished once its body has arrived."""
        if self._sent is not None:
            return self._sent
        # Tornado's own state of the body; there is no public one. It is pending in `prepare` of a GET, too.
        body = self.request._body_future
        if body.done():
            return super().finish(chunk)
        if "Expect" in self.request.headers:
            # The client waits for permission before it sends, and will not send.
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
        """Stop waiting for the rest of the body."""
        super().on_connection_close()
        if self._lingering is not None:
            self._lingering.cancel()

    def _end(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        if not self._finished:
            super().finish()

    def _discard(self, chunk: bytes) -> None:
        """Drop a piece of the body."""

    async def _answered(self, *args: str) -> None:
        """Replace the handler's method, which must not run after an early answer."""
