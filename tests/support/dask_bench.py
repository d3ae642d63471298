"""An executor for a Dask cluster, beside a local one."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurdicom.dicom.part10 import read_header
from neurdicom.plugins.plugin_zip import PluginZip
from neurdicom.workers.call import Priority
from neurdicom.workers.dask.cluster import Cluster
from neurdicom.workers.dask.executor import DaskExecutor
from neurdicom.workers.executor import Input, Task
from neurdicom.workers.packages.package_folders import PackageFolders
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.pool_executor import PoolExecutor
from neurdicom.workers.program import Program
from tests.support.images import ct_image
from tests.support.packages import package

#: Does what its parameters ask for, and tells who did it.
PLUGIN = """
import os, time

class Plugin:
    def process(self, ds=None, sleep=0.0, end="", note="", text=False):
        if note:
            with open(note, "a") as file:
                file.write(f"{os.getpid()}\\n")
        time.sleep(sleep)
        if end == "kill":
            os.kill(os.getpid(), 9)
        if end == "raise":
            raise ValueError("no such luck")
        if end == "memory":
            held = [bytearray(1 << 20) for _ in range(4000)]
        if text:
            return {"sum": int(ds.pixel_array.sum()), "name": str(ds.PatientName)}
        return ds.pixel_array * 2.0
"""


@dataclass
class Bench:
    """An executor for a cluster, beside a local one."""

    cluster: Cluster
    dask: DaskExecutor
    local: PoolExecutor
    program: Program
    input: Input

    def task(self, *, format: str = "npy", input: Input | None = None, **params: Any) -> Task:
        return Task(self.program, (input or self.input,), params, format, priority=Priority.BACKGROUND)


@asynccontextmanager
async def bench(address: str, folder: Path, *, patience: float = 10.0) -> AsyncIterator[Bench]:
    """A plugin of its own digest, an image and both executors."""
    packages = PackageFolders(folder / "plugins", PluginZip)
    packages.open(())
    spool = packages.new_spool()
    spool.write(package(PLUGIN, info=str(folder)))
    digest = packages.add(spool)
    spool.discard()
    packages.extract(digest)
    program = Program("python", str(packages.folder(digest)), "Test", digest, timeout=10, memory=512)
    uid, data = ct_image()
    path = folder / "image.dcm"
    path.write_bytes(data)
    pool = WorkerPool(2)
    await pool.open()
    connection = Cluster(address)
    await connection.open()
    try:
        local = PoolExecutor(pool)
        image = Input(uid, str(path), hashlib.sha256(data).hexdigest(), layout_of(path))
        yield Bench(connection, DaskExecutor(connection, local, patience=patience), local, program, image)
    finally:
        await connection.close()
        await pool.close()


def layout_of(path: Path) -> dict[str, Any]:
    """Read the layout of an image's pixels."""
    data = path.read_bytes()
    with path.open("rb") as file:
        return read_header(file.fileno(), data[:65536], len(data)).layout.to_document()


def elsewhere(image: Input) -> tuple[Input, int]:
    """The same image at a path that means something else to every other process; and a descriptor to close."""
    descriptor = os.open(image.path, os.O_RDONLY)
    return replace(image, path=f"/proc/self/fd/{descriptor}"), descriptor
