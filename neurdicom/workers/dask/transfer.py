"""Transfer of archives and stored files to Dask workers: directly, in pieces, and each file once."""

import asyncio
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from neurdicom.errors import NotFound, Unavailable
from neurdicom.workers.dask.messages import Missing, Need
from neurdicom.workers.dask.packages import packages_of
from neurdicom.workers.executor import Task

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

#: Bytes of one piece, and so of the memory that a transfer takes on either side.
_PIECE: Final = 4 << 20

#: Most transfers at a time.
_AT_ONCE: Final = 8


class Sender:
    """Sender of archives and stored files to Dask workers."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, Need], asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def send(self, client: "Client", missing: Missing, task: Task) -> None:
        """Send the files that a Dask worker lacks for a task; wait for transfers to it that are under way already.

        Parameters
        ----------
        client : Client
            Connection to the cluster.
        missing : Missing
            The Dask worker's answer.
        task : Task
            The task that it could not run.

        Raises
        ------
        Unavailable
            The Dask worker can't be reached from this server, or can't store it.
        NotFound
            The file is gone from this server.
        """
        paths = {package.name: package.with_name(f"{package.name}.zip") for package in packages_of(task.program)}
        paths |= {one.sha256: Path(one.path) for one in task.inputs}
        waiting = [self._begin(client, missing.worker, need, paths[need.sha256]) for need in missing.needs]
        await asyncio.gather(*(asyncio.shield(each) for each in waiting))

    def _begin(self, client: "Client", worker: str, need: Need, path: Path) -> "asyncio.Task[None]":
        key = (worker, need)
        if key not in self._under_way:
            sending = asyncio.create_task(self._send(client, worker, need, path))
            self._under_way[key] = sending
            sending.add_done_callback(lambda done: self._ended(key, done))
        return self._under_way[key]

    def _ended(self, key: tuple[str, Need], sending: "asyncio.Task[None]") -> None:
        del self._under_way[key]
        if not sending.cancelled():
            sending.exception()  # retrieved, since its waiters may have gone

    async def _send(self, client: "Client", worker: str, need: Need, path: Path) -> None:
        transfer = uuid.uuid4().hex
        async with self._places:
            if await self._call(client, worker, "has", kind=need.kind, sha256=need.sha256):
                return  # another transfer has brought it meanwhile
            try:
                file = await asyncio.to_thread(path.open, "rb")
            except OSError as error:
                raise NotFound(f"{path.name} can't be sent to a Dask worker: {error.strerror}") from error
            try:
                offset, piece = 0, await asyncio.to_thread(file.read, _PIECE)
                while True:
                    after = await asyncio.to_thread(file.read, _PIECE)
                    await self._put(client, worker, need, transfer=transfer, offset=offset, data=piece, last=not after)
                    if not after:
                        return
                    offset, piece = offset + len(piece), after
            finally:
                file.close()

    async def _put(self, client: "Client", worker: str, need: Need, **piece: Any) -> None:
        answer = await self._call(client, worker, "put", kind=need.kind, sha256=need.sha256, **piece)
        if "error" in answer:
            raise Unavailable(f"the Dask worker {worker} can't store {need.kind} {need.sha256[:12]}: {answer['error']}")

    async def _call(self, client: "Client", worker: str, verb: str, **arguments: Any) -> Any:
        try:
            return await getattr(client.rpc(worker), f"neurdicom_{verb}")(**arguments)
        except OSError as error:
            _log.warning("the Dask worker %s can't be reached: %s", worker, error)
            raise Unavailable(f"the Dask worker {worker} can't be reached from this server") from error
