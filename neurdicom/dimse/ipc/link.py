"""A DIMSE process's end of its connection to the server: calls of the server's verbs, and operations for the server."""

import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any

import orjson

from neurdicom.dimse.ipc.frames import error_from_wire, error_to_wire, unpack_head
from neurdicom.errors import INTERNAL_ERROR, NeurdicomError, Unavailable
from neurdicom.wire import HEAD, pack

log = logging.getLogger(__name__)


class ServerOperation:
    """An operation that the server requested, running in a thread of its own.

    Attributes
    ----------
    link : Link
        The connection to the server.
    arguments : dict
        Arguments of the request.
    body : bytes
        Body of the request.
    cancelled : threading.Event
        Set when the server cancels the operation, which then ends as soon as it can; see `when_cancelled`.
    """

    def __init__(self, link: "Link", number: int, arguments: dict[str, Any], body: bytes) -> None:
        self.link = link
        self.arguments = arguments
        self.body = body
        self.cancelled = threading.Event()
        self._number = number
        self._on_cancel: list[Callable[[], None]] = []

    def when_cancelled(self, callback: Callable[[], None]) -> None:
        """Register a callback for cancellation, which is called from another thread and perhaps twice."""
        self._on_cancel.append(callback)
        if self.cancelled.is_set():
            callback()

    def cancel(self) -> None:
        """Cancel the operation, as the server requests."""
        self.cancelled.set()
        for callback in list(self._on_cancel):
            callback()

    def emit(self, data: Any) -> None:
        """Send an event to the server. Raises `Unavailable` if the server has ended."""
        self.link.send({"event": self._number, "data": data})


#: Runs an operation; its return value is the answer.
Operator = Callable[[ServerOperation], Any]


class Link:
    """Thread-safe connection to the server.

    Parameters
    ----------
    sock : socket
        Blocking stream socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._numbers = count(1)
        self._waiting: dict[int, Future[tuple[Any, bytes]]] = {}
        self._running: dict[int, ServerOperation] = {}
        self._closed = False
        self.operators: dict[str, Operator] = {}

    def call(self, verb: str, body: bytes = b"", **arguments: Any) -> Any:
        """Call a verb of the server and wait for its result.

        Parameters
        ----------
        verb : str
            Name of the verb.
        body : bytes
            Body of the call.
        **arguments
            JSON-able arguments of the verb.

        Returns
        -------
        Any
            The verb's result.

        Raises
        ------
        NeurdicomError
            The error that the verb raised; `Unavailable` if the server has ended.
        """
        return self.exchange(verb, body, **arguments)[0]

    def exchange(self, verb: str, body: bytes = b"", **arguments: Any) -> tuple[Any, bytes]:
        """Call a verb of the server, as `call` does, and return its result with the body of the answer.

        Parameters
        ----------
        verb, body, **arguments
            As for `call`.

        Returns
        -------
        result : Any
        body : bytes

        Raises
        ------
        NeurdicomError
            As `call`.
        """
        number = next(self._numbers)
        answer: Future[tuple[Any, bytes]] = Future()
        self._waiting[number] = answer
        try:
            if self._closed:
                raise Unavailable("the server is gone")
            self.send({"ask": number, "verb": verb, "arguments": arguments}, body)
            return answer.result()
        finally:
            self._waiting.pop(number, None)

    def tell(self, verb: str, **arguments: Any) -> None:
        """Call a verb of the server without waiting for an answer; does nothing if the server has ended."""
        try:
            self.send({"ask": 0, "verb": verb, "arguments": arguments})
        except Unavailable:
            log.debug("the server has ended: %s is not sent", verb)

    def send(self, control: dict[str, Any], body: bytes = b"") -> None:
        """Send a message. Raises `Unavailable`."""
        data = pack(control, body)
        try:
            with self._sending:
                self._sock.sendall(data)
        except OSError as error:
            raise Unavailable("the server is gone") from error

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """Read the next message of the server; None at the end. For one thread only."""
        head = self._read(HEAD.size)
        if head is None:
            return None
        length, size = unpack_head(head)
        text, body = self._read(length), self._read(size)
        if text is None or body is None:
            return None
        control: dict[str, Any] = orjson.loads(text)
        return control, body

    def _read(self, size: int) -> bytes | None:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            try:
                got = self._sock.recv_into(view)
            except OSError:
                return None
            if not got:
                return None
            view = view[got:]
        return bytes(data)

    def run(self) -> None:
        """Process messages until the server closes the connection; then fail all waiting calls, cancel operations."""
        try:
            while (message := self.receive()) is not None:
                self._take(*message)
        finally:
            self._closed = True
            for answer in list(self._waiting.values()):
                answer.set_exception(Unavailable("the server is gone"))
            for operation in list(self._running.values()):
                operation.cancel()

    def _take(self, control: dict[str, Any], body: bytes) -> None:
        if "answer" in control:
            answer = self._waiting.pop(control["answer"], None)
            if answer is None:
                return
            if "error" in control:
                answer.set_exception(error_from_wire(control["error"]))
            else:
                answer.set_result((control["result"], body))
        elif "cancel" in control:
            if (operation := self._running.get(control["cancel"])) is not None:
                operation.cancel()
        else:
            self._begin(control, body)

    def _begin(self, control: dict[str, Any], body: bytes) -> None:
        number, verb = control["ask"], control["verb"]
        operation = ServerOperation(self, number, control["arguments"], body)
        self._running[number] = operation
        threading.Thread(target=self._operate, args=(number, verb, operation), name=verb, daemon=True).start()

    def _operate(self, number: int, verb: str, operation: ServerOperation) -> None:
        answer: dict[str, Any] = {"answer": number}
        try:
            answer["result"] = self.operators[verb](operation)
        except NeurdicomError as error:
            answer["error"] = error_to_wire(error)
        except Exception:
            log.exception("operation %s failed: internal error", verb)
            answer["error"] = error_to_wire(NeurdicomError(INTERNAL_ERROR))
        self._running.pop(number, None)
        if number:
            try:
                self.send(answer)
            except Unavailable:
                log.debug("the server has ended: the answer to %s is not sent", verb)
