"""Requests whose bodies are processed as they arrive, and dropped when their clients go away."""

import asyncio
from typing import Protocol

from neurdicom.errors import Malformed
from neurdicom.http.base import ApiHandler
from neurdicom.http.codings import GZIP, GzipDecoder, check_coding


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
    _decoder: GzipDecoder | None = None

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
            if check_coding(headers.get("Content-Encoding", ""), (GZIP,)):
                self._decoder, length = GzipDecoder(), ""  # that of the decoded body is not known
            self.streamed = self.begin_body(
                headers.get("Content-Type", ""), int(length) if length.isdecimal() else None
            )

    async def data_received(self, chunk: bytes) -> None:
        """Take a piece of the body, decoded in a thread where it is compressed."""
        if self.streamed is None:
            return
        if self._decoder is None:
            await self.streamed.write(chunk)
            return
        pieces = self._decoder.pieces(chunk)
        try:
            while piece := await asyncio.to_thread(next, pieces, b""):
                await self.streamed.write(piece)
        except Malformed as error:
            self._drop()
            self.refuse(error)

    def check_complete(self) -> None:
        """Check that a compressed body has arrived whole, before it is finished. Raises `Malformed`."""
        if self._decoder is None:
            return
        try:
            self._decoder.check_complete()
        except Malformed:
            self._drop()
            raise

    def on_connection_close(self) -> None:
        """Discard the body that the client left incomplete."""
        super().on_connection_close()
        self._drop()

    def _drop(self) -> None:
        if self.streamed is not None:
            self.streamed.drop()
