"""REST upload: instances a second with a few keep-alive connections, against Orthanc on the same machine.

    python -m benchmarks.upload [--connections 4] [--instances 2000] [--rounds 3]

Every instance is new, 512x512 with 16 bits (0.5 MB). Both servers answer once the instance is durable (Orthanc with
its default `SyncStorageArea`).
"""

import argparse
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

from benchmarks.data import ct_series
from benchmarks.figures import record
from benchmarks.servers import neurdicom, orthanc, settle

#: The header of a file of `ct_series` lies in these first bytes; the UIDs in it are replaced.
_HEADER = 16 * 1024
_TEMPLATES = 50
GOAL = 2.0


class NewInstances:
    """New instances without end, made from a few templates by changing the numbers in their UIDs."""

    def __init__(self) -> None:
        first = 100_000
        self._old = b".2.111111.222222."
        files = list(ct_series(_TEMPLATES, study=111111, series=222222))
        self._files = [(file[:_HEADER], memoryview(file)[_HEADER:]) for file in files]
        self._number = count(first)
        self._lock = threading.Lock()

    def next(self) -> tuple[bytes, memoryview]:
        """Make a file that was never sent, in two parts."""
        with self._lock:
            number = next(self._number)
        head, rest = self._files[number % _TEMPLATES]
        series = number // _TEMPLATES + 200_000
        # The same length, so that no length in the file changes; a study has 4 series.
        return head.replace(self._old, b".2.%06d.%06d." % (series // 4 + 100_000, series)), rest


class UploadConnection:
    """A keep-alive connection that posts files; as little work as a client can do."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._path = path

    def post(self, head: bytes, rest: memoryview) -> None:
        """Send one file and wait for its acknowledgement."""
        request = (
            f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/dicom\r\n"
            f"Content-Length: {len(head) + len(rest)}\r\n\r\n"
        ).encode()
        sent = self._socket.sendmsg([request, head, rest]) - len(request) - len(head)
        if sent < 0:
            raise ConnectionError("the connection took less than the header at once")
        self._socket.sendall(rest[sent:])
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        header, body = answer.split(b"\r\n\r\n", 1)
        status = int(header.split(b" ", 2)[1])
        length = int(header.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self._receive()
        if status not in (200, 201) or b"AlreadyStored" in body or b"duplicate" in body:
            raise ConnectionError(f"status {status}: {body[:500]!r}")

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def measure(port: int, path: str, series: NewInstances, *, connections: int, instances: int) -> float:
    """Post instances over some connections; instances a second."""
    share = instances // connections
    failures: list[Exception] = []

    def send(connection: UploadConnection, number: int) -> None:
        try:
            for _ in range(number):
                connection.post(*series.next())
        except Exception as error:
            failures.append(error)

    opened = [UploadConnection(port, path) for _ in range(connections)]
    for connection in opened:
        send(connection, 5)
    threads = [threading.Thread(target=send, args=(connection, share)) for connection in opened]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    for connection in opened:
        connection.close()
    if failures:
        raise failures[0]
    return share * connections / elapsed


def main() -> None:
    """Measure both servers in turn, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--instances", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the folder for temporary files")
    given = parser.parse_args()
    series = NewInstances()
    servers: dict[str, tuple[Callable[[Path], AbstractContextManager[int]], str]] = {
        "Orthanc": (orthanc, "/instances"),
        "NeurDICOM": (neurdicom, "/api/instances"),
    }
    rates: dict[str, list[float]] = {name: [] for name in servers}
    # Folders go at the end only: ext4 takes long to make files where many were deleted a moment ago.
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for turn in range(given.rounds):
            for name, (server, path) in servers.items():
                settle()
                with server(Path(folder) / f"{name.lower()}-{turn}") as port:
                    rate = measure(port, path, series, connections=given.connections, instances=given.instances)
                rates[name].append(rate)
                print(f"{name:10} {rate:8.0f} instances/s", flush=True)
    middle = {name: statistics.median(each) for name, each in rates.items()}
    for name, rate in middle.items():
        record(f"upload: {name}", rate, "instances/s")
    ratio = middle["NeurDICOM"] / middle["Orthanc"]
    print(f"upload, {given.connections} connections: {ratio:.2f} x Orthanc (goal {GOAL:g})")


if __name__ == "__main__":
    main()
