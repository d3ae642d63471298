"""Requests whose bodies are processed as they arrive, and dropped when their clients go away."""

from typing import Protocol

from neurdicom.http.base import ApiHandler


class StreamedBody(Protocol):
    """A request body that is processed piece by piece, as it arrives."""

    async def write(self, data: bytes) -> None:
        """Take the next piece of the body; its faults are reported when the body is complete."""

    def drop(self) -> None:
        """Discard incomplete data, since the client has disconnected; does not wait."""


class StreamedHandler(ApiHandler):
    """Base of handlers that take the body of a POST piece by piece, and so may get any number of bytes.

    Attributes
    ----------
    streamed : StreamedBody or None
        The body; None for other methods, and for requests that were refused.
    """

    streamed: StreamedBody | None = None

    def begin_body(self, content_type: str, length: int | None) -> StreamedBody:
        """Check the headers of a POST whose caller may send it, and begin its body.

        Parameters
        ----------
        content_type : str
            As given; empty if absent.
        length : int or None
            Bytes of the body, if the client says it.
        """
        raise NotImplementedError

    async def prepare(self) -> None:
        """Check the headers and begin the body, once the credential is accepted."""
        await super().prepare()
        if self.request.method == "POST" and not self._finished:
            headers = self.request.headers
            length = headers.get("Content-Length", "")
            self.streamed = self.begin_body(
                headers.get("Content-Type", ""), int(length) if length.isdecimal() else None
            )

    async def data_received(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self.streamed is not None:
            await self.streamed.write(chunk)

    def on_connection_close(self) -> None:
        """Discard the body that the client left incomplete."""
        super().on_connection_close()
        if self.streamed is not None:
            self.streamed.drop()
