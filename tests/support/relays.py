"""A relay of TCP connections that a test cuts and mends: a backend that is away for a while."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Relay:
    """Relay on a free port of the loopback address to another one.

    Attributes
    ----------
    port : int
        Where it listens.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Break all connections, and those that come within the context."""
        self._break(True)
        try:
            yield
        finally:
            self._break(False)

    def close(self) -> None:
        """End it."""
        self._break(True)
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def _break(self, is_cut: bool) -> None:
        with self._lock:
            self._is_cut = is_cut
            for one in self._open if is_cut else ():
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                above, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                if self._is_cut:
                    above.close()
                    continue
                below = socket.create_connection(("127.0.0.1", self._target))
                self._open |= {above, below}
            left = [above, below]
            for source, sink in ((above, below), (below, above)):
                thread = threading.Thread(target=self._copy, args=(source, sink, left), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _copy(self, source: socket.socket, sink: socket.socket, left: list[socket.socket]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        with self._lock:
            left.remove(source)
            if not left:  # the other direction has ended, too
                for one in (source, sink):
                    self._open.discard(one)
                    one.close()
