"""NeurDICOM's extension of a Dask worker: stores the files that tasks need, and runs tasks in isolated processes.

Everything here runs in the Dask worker's event loop; plugin code does not run in its process.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from distributed import Worker, WorkerPlugin, get_worker

from neurdicom.errors import NeurdicomError, Unavailable, reason_of
from neurdicom.workers.dask import messages
from neurdicom.workers.dask.messages import Missing, Need
from neurdicom.workers.dask.packages import moved, packages_of
from neurdicom.workers.dask.receiver import FileReceiver
from neurdicom.workers.dask.store import FileStore, PackageStore, SharedFiles
from neurdicom.workers.executor import Task
from neurdicom.workers.packages.package_folders import PackageFolders
from neurdicom.workers.packages.package_zip import PackageZip
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.pool_executor import PoolExecutor
from neurdicom.workers.program import Program
from neurdicom.workers.read_only import ReadOnlyFolders

#: Name of the extension in the Dask worker, and prefix of its handlers.
NAME: Final = "neurdicom"


async def run_task(data: bytes) -> bytes:
    """Run a packed task in this Dask worker; return the packed answer.

    Raises nothing that a plugin or a file can cause.
    """
    worker = get_worker()
    try:
        extension = await DaskWorkerExtension.of(worker)
        return await extension.run(data)
    except NeurdicomError as error:
        return messages.pack_error(error, worker.address)


class DaskWorkerExtension(WorkerPlugin):
    """State of NeurDICOM in a Dask worker; made with the first task, so that nothing has to be registered."""

    name = NAME

    @classmethod
    async def of(cls, worker: Worker) -> "DaskWorkerExtension":
        """Return the extension of a Dask worker, made when it is missing."""
        if NAME not in worker.plugins:
            try:
                await worker.plugin_add(cls(), name=NAME, catch_errors=False)  # is there before it first waits
            except OSError as error:
                worker.plugins.pop(NAME, None)
                raise Unavailable(f"it can't store files: {reason_of(error)}") from error
        extension = worker.plugins[NAME]
        assert isinstance(extension, DaskWorkerExtension)
        await extension.ready.wait()
        return extension

    def setup(self, worker: Worker) -> None:
        """Start with empty folders below the Dask worker's own."""
        folder = Path(worker.local_directory).absolute() / NAME
        folder.mkdir(parents=True, exist_ok=True)
        self._address: str = worker.address
        self._files = FileStore(folder / "files")
        self._shared = SharedFiles()
        packages = PackageFolders(folder / "packages", PackageZip)  # the server has checked their contents
        self._packages = PackageStore(packages)
        self._pool = WorkerPool(max(1, worker.state.nthreads), read_only=ReadOnlyFolders.of([folder]))
        self._executor = PoolExecutor(self._pool)
        self._receiver = FileReceiver(self._files, self._packages, self._pool)
        self.ready = asyncio.Event()
        self._opening = asyncio.get_running_loop().create_task(self._open())
        worker.handlers[f"{NAME}_has"] = self._receiver.has
        worker.handlers[f"{NAME}_put"] = self._receiver.put

    async def _open(self) -> None:
        await self._pool.open()
        self.ready.set()

    async def teardown(self, worker: Worker) -> None:
        """End all worker processes."""
        for verb in ("has", "put"):
            worker.handlers.pop(f"{NAME}_{verb}", None)
        self._receiver.close()
        await self._opening
        await self._pool.close()

    # -- tasks -----------------------------------------------------------------------------------------------

    async def run(self, data: bytes) -> bytes:
        """Run a packed task, or list the files that are missing for it. Raises the task's error."""
        task = messages.unpack_task(data)
        with self._hold(task):
            missing: list[Need] = []
            program = self._placed(task.program, missing)
            inputs = [replace(one, path=await self._find(one.sha256, one.path, missing)) for one in task.inputs]
            if missing:
                return messages.pack_missing(Missing(self._address, tuple(dict.fromkeys(missing))))
            return messages.pack_reply(await self._executor.run(replace(task, program=program, inputs=tuple(inputs))))

    @contextlib.contextmanager
    def _hold(self, task: Task) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._files.hold([one.sha256 for one in task.inputs]))
            digests = [package.name for package in packages_of(task.program)]
            stack.enter_context(self._packages.hold(digests))
            yield

    def _placed(self, program: Program, missing: list[Need]) -> Program:
        def place(package: Path) -> Path:
            folder = self._packages.find(package.name)
            if folder is None:
                missing.append(Need("package", package.name))
            return folder or package

        return moved(program, place)

    async def _find(self, sha256: str, path: str, missing: list[Need]) -> str:
        copy = self._files.find(sha256)
        if copy is not None:
            return str(copy)
        if not await asyncio.to_thread(self._shared.has, sha256, path):
            missing.append(Need("file", sha256))
        return path

    def state(self) -> dict[str, Any]:
        """Return how often each file has arrived, and the statistics of the worker processes."""
        return {"received": dict(self._receiver.received), "processes": self._pool.statistics()}
