"""A cluster that is not there: at the start, and in the middle."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from neurdicom.errors import Unavailable
from neurdicom.workers.call import Priority
from neurdicom.workers.dask import cluster as clusters
from tests.support.dask_bench import bench
from tests.support.dask_cluster import DaskCluster
from tests.support.server import free_port
from tests.support.waiting import until


def test_it_comes_and_goes(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        async with bench(f"tcp://127.0.0.1:{port}", tmp_path, patience=1.0) as here:
            with pytest.raises(Unavailable, match=f"the Dask cluster tcp://127.0.0.1:{port} does not answer"):
                await here.dask.run(here.task())
            assert here.dask.slots == here.local.slots
            waited_for = replace(here.task(), priority=Priority.INTERACTIVE)
            assert (await here.dask.run(waited_for)).meta["kind"] == "image", "done on this machine"
            for number in range(2):
                cluster = await asyncio.to_thread(DaskCluster(tmp_path / f"dask{number}", 1, port).__enter__)
                try:
                    await until(lambda: here.cluster.problem is None)
                    assert (await here.dask.run(here.task())).meta["kind"] == "image"
                    assert here.dask.slots == max(2, here.local.slots)
                    under_way = asyncio.create_task(here.dask.run(here.task(sleep=5)))
                    await asyncio.sleep(0.3)
                finally:
                    await asyncio.to_thread(cluster.kill)
                with pytest.raises(Unavailable):
                    await under_way

    asyncio.run(run())


def test_a_fault_that_every_attempt_meets_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = []

    async def fail(_: clusters.Cluster) -> None:
        attempts.append(1)
        raise ValueError("versions differ")

    monkeypatch.setattr(clusters.Cluster, "_connect", fail)
    monkeypatch.setattr(clusters, "_FIRST_WAIT", 0.0)

    async def run() -> None:
        cluster = clusters.Cluster("tcp://192.0.2.1:8786")
        await cluster.open()
        await until(lambda: len(attempts) > 3)
        assert cluster.problem == "the Dask cluster tcp://192.0.2.1:8786 does not answer: ValueError"
        await cluster.close()

    asyncio.run(run())
    assert [record.getMessage() for record in caplog.records if "versions differ" in record.getMessage()] == [
        "Dask cluster tcp://192.0.2.1:8786 can't be connected to, and is tried again: ValueError('versions differ')"
    ]
