"""An HTTP server that does to its clients what a test tells it to: real sockets, and faults that real nodes have."""

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

JSON = "application/dicom+json"


class FaultyRequest(BaseHTTPRequestHandler):
    """A request, with ways to answer it."""

    protocol_version = "HTTP/1.1"
    server: "FaultyServer"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def read(self) -> bytes:
        """The body."""
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def answer(self, status: int = 200, body: bytes = b"", content_type: str = JSON, **headers: str) -> None:
        """Answer in one piece; header names are written with underscores."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, value: Any, status: int = 200, **headers: str) -> None:
        """Answer JSON."""
        self.answer(status, json.dumps(value).encode(), JSON, **headers)

    def cut(self) -> None:
        """Break the connection off."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)

    def do(self) -> None:
        """Answer as the test says."""
        self.server.requests.append(f"{self.command} {self.path}")
        try:
            self.server.behaviour(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do  # noqa: N815 (the names that the library calls)


class FaultyServer(ThreadingHTTPServer):
    """The server, on a free port of the loopback address.

    Attributes
    ----------
    behaviour : Callable[[FaultyRequest], object]
        Answers a request.
    requests : list of str
        Method and path of those that came.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FaultyRequest)
        self.behaviour: Callable[[FaultyRequest], object] = lambda request: request.answer_json([])
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/dicom-web"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients are killed in tests."""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def multipart(files: Sequence[bytes], *, boundary: bytes = b"b", newline: bytes = b"\r\n") -> bytes:
    """A multipart/related body of DICOM files."""
    head = newline + b"Content-Type: application/dicom" + newline * 2
    return b"".join(b"--" + boundary + head + file + newline for file in files) + b"--" + boundary + b"--" + newline


def store_answer(stored: Sequence[str], failed: Sequence[tuple[str, int]] = ()) -> dict[str, Any]:
    """A Store Instances Response."""

    def item(uid: str, **more: Any) -> dict[str, Any]:
        return {"00081155": {"vr": "UI", "Value": [uid]}} | more

    answer: dict[str, Any] = {}
    if stored:
        answer["00081199"] = {"vr": "SQ", "Value": [item(uid) for uid in stored]}
    if failed:
        reasons = [item(uid, **{"00081197": {"vr": "US", "Value": [code]}}) for uid, code in failed]
        answer["00081198"] = {"vr": "SQ", "Value": reasons}
    return answer
