"""A connection to MongoDB that breaks at the n-th command: a fault that the driver sees as it would a crash."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Wire:
    """A relay to the server; once `left` commands went through, nothing does any more."""

    uri: str = ""
    left: int | None = None
    passed: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def cut(self) -> bool:
        """True once the connection broke."""
        return self.left is not None and self.passed > self.left

    def mend(self) -> None:
        """Let everything through from now on."""
        self.left = None

    def allows(self, message: bytes) -> bool:
        """Decide whether a message to the server goes through; the driver's own look-outs are not counted."""
        if b"hello\x00" not in message and b"ismaster\x00" not in message.lower():
            self.passed += 1
        return not self.cut


@asynccontextmanager
async def wire(uri: str) -> AsyncIterator[Wire]:
    """Relay to the server of a URI."""
    address = urlsplit(uri)
    relay = Wire()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if relay.cut:
            writer.close()
            return
        below, above = await asyncio.open_connection(address.hostname, address.port)
        relay.open |= {writer, above}
        answers = asyncio.create_task(_copy(below, writer))
        try:
            while True:
                head = await reader.readexactly(4)
                message = head + await reader.readexactly(int.from_bytes(head, "little") - 4)
                if not relay.allows(message):
                    break
                above.write(message)
                await above.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if relay.cut:
                for one in relay.open:
                    one.close()
            above.close()
            writer.close()
            await asyncio.gather(answers, return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    relay.uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=200&retryWrites=false&retryReads=false"
    try:
        yield relay
    finally:
        server.close()
        for one in relay.open:
            one.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
