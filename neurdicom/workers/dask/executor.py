"""The executor that runs background tasks on a Dask cluster."""

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any, Final

from neurdicom.errors import NeurdicomError, Unavailable
from neurdicom.fairness import FairSemaphore
from neurdicom.workers.call import CancellationToken, Priority
from neurdicom.workers.dask import messages
from neurdicom.workers.dask.cluster import Cluster
from neurdicom.workers.dask.messages import Missing
from neurdicom.workers.dask.transfer import Sender
from neurdicom.workers.executor import Executor, Task
from neurdicom.workers.program import Reply

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

#: Seconds that tasks wait for a cluster that is away before they fail; jobs retry them later.
PATIENCE: Final = 5.0

#: Most attempts at a task whose Dask worker lacks files, or whose connection is lost.
_ROUNDS: Final = 10

#: Tasks in flight for each thread of the cluster: one is computed while the next one's files are sent.
_PER_THREAD: Final = 2


class DaskExecutor(Executor):
    """Executor that runs background tasks (those of jobs) on a cluster, and all others on this machine.

    Interactive tasks stay here: their files need not be sent, and they work while the cluster is away.
    """

    def __init__(self, cluster: Cluster, local: Executor, *, patience: float = PATIENCE) -> None:
        self._cluster = cluster
        self._local = local
        self._patience = patience
        self._sender = Sender()
        self._places = FairSemaphore(lambda: self.slots)

    @property
    def slots(self) -> int:
        """Number of tasks to keep on the cluster, for one job and for all of them."""
        return max(_PER_THREAD * sum(self._cluster.threads.values()), self._local.slots)

    def describe(self) -> dict[str, Any]:
        """Describe the cluster: the scheduler's address, workers, threads, and its problem if there is one."""
        cluster = self._cluster
        threads = cluster.threads
        return {
            "address": cluster.address,
            "workers": len(threads),
            "threads": sum(threads.values()),
            "problem": cluster.problem,
        }

    async def run(self, task: Task, token: CancellationToken | None = None) -> Reply:
        """Run a task; see `Executor.run`. When it is stopped while a Dask worker computes, its reply is dropped.

        Raises
        ------
        Unavailable
            The cluster is away or has no workers, its workers keep dying, or one runs another version of NeurDICOM.
        """
        if task.priority is Priority.INTERACTIVE:
            return await self._local.run(task, token)
        doing = asyncio.ensure_future(self._run_far(task))
        try:
            if token is None:
                return await doing
            with token.stopping(doing.cancel):
                return await doing
        finally:
            doing.cancel()

    async def _run_far(self, task: Task) -> Reply:
        async with self._places.place(task.fairness):
            return await self._try(task)

    async def _try(self, task: Task) -> Reply:
        data = messages.pack_task(task)
        worker: str | None = None
        problem = Unavailable(f"the connection to the Dask cluster was lost {_ROUNDS} times")
        for _ in range(_ROUNDS):
            client = await self._cluster.client(self._patience)
            answer = await self._ask(client, data, worker, task.program.title)
            if isinstance(answer, Reply):
                return answer
            worker = None
            if answer is not None:
                try:
                    await self._sender.send(client, answer, task)
                    worker = answer.worker
                except Unavailable as error:  # it may have died meanwhile; another may be better
                    problem = error
        raise problem

    async def _ask(self, client: "Client", data: bytes, worker: str | None, title: str) -> Reply | Missing | None:
        """Run a task on the cluster; None when the connection was lost meanwhile."""
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker

        from neurdicom.workers.dask.extension import run_task

        future = client.submit(
            run_task,
            data,
            key=f"neurdicom-{uuid.uuid4().hex}",
            pure=False,
            workers=None if worker is None else [worker],
            allow_other_workers=worker is not None,
        )
        gathering = asyncio.ensure_future(client.gather(future, direct=True))
        try:
            return messages.unpack(await self._watched(gathering))
        except NeurdicomError:
            raise
        except (FutureCancelledError, CommClosedError):
            return None
        except KilledWorker as error:
            raise Unavailable(
                f"the Dask workers that ran {title} died, the last of them {error.last_worker.address}"
            ) from error
        except Exception as error:  # whatever a Dask worker, its scheduler or the library meets on its way
            _log.warning("the Dask cluster could not run %s: %r", title, error)
            raise Unavailable(f"the Dask cluster could not run {title}; the server's log says why") from error
        finally:
            gathering.cancel()
            future.release()  # frees its memory there; a task that has not begun is dropped

    async def _watched(self, gathering: "asyncio.Future[Any]") -> bytes:
        """Await the result; raise `Unavailable` when the cluster stays without workers."""
        lost: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            done, _ = await asyncio.wait({gathering}, timeout=1.0)
            if done:
                result: bytes = gathering.result()
                return result
            if self._cluster.problem is None:
                lost = None
            elif lost is None:
                lost = loop.time()
            elif loop.time() - lost > self._patience:
                raise Unavailable(self._cluster.problem)
