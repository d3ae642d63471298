"""Tasks on a real cluster of Dask worker processes."""

import asyncio
import hashlib
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from neurdicom.errors import Invalid, PluginCrashed, PluginFailed, PluginMemory, PluginTimeout, Unavailable
from neurdicom.workers.dask import messages
from tests.support.dask_bench import bench, elsewhere
from tests.support.dask_cluster import DaskCluster
from tests.support.waiting import until


def test_results_are_those_of_this_machine(cluster: DaskCluster, tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(cluster.address, tmp_path) as here:
            for task in (
                *(here.task(format=wanted) for wanted in ("npy", "png", "f32", "lum8")),
                here.task(text=True),
            ):
                far, near = await here.dask.run(task), await here.local.run(task)
                assert (far.meta, bytes(far.body)) == (near.meta, bytes(near.body))
            edits = ({"level": "patient", "entity": "x", "field": "patient_name", "value": "Ünal^Ömer"},)
            image = here.input
            edited = here.task(text=True, input=type(image)(**{**_fields(image), "edits": _complete(edits)}))
            assert bytes((await here.dask.run(edited)).body) == bytes((await here.local.run(edited)).body)
            assert "Ünal".encode() in bytes((await here.dask.run(edited)).body)

    asyncio.run(run())


def _fields(made: object) -> dict[str, Any]:
    return {name: getattr(made, name) for name in made.__dataclass_fields__}  # type: ignore[attr-defined]


def _complete(edits: tuple[dict[str, str], ...]) -> tuple[dict[str, str], ...]:
    return tuple({**edit, "user": "ann@example.org", "time": "2026-01-01T00:00:00+00:00"} for edit in edits)


def test_an_archive_goes_to_each_worker_once(cluster: DaskCluster, tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(cluster.address, tmp_path) as here:
            await asyncio.gather(*(here.dask.run(here.task(sleep=0.02)) for _ in range(40)))
            digest, file = here.program.digest, here.input.sha256
            received = [state["received"] for state in (await asyncio.to_thread(cluster.states)).values()]
            assert [one.get(digest) for one in received] == [1, 1], "once to each"
            assert not any(file in one for one in received), "a file that can be read there does not travel"

    asyncio.run(run())


def test_files_travel_where_storage_is_not_shared(cluster: DaskCluster, tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(cluster.address, tmp_path) as here:
            path = Path(here.input.path)
            near = bytes((await here.local.run(here.task())).body)
            with path.open("ab") as file:  # Data Set Trailing Padding: some pieces long
                file.write(b"\xfc\xff\xfc\xffOB\0\0" + (10 << 20).to_bytes(4, "little") + bytes(10 << 20))
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            image, descriptor = elsewhere(type(here.input)(**{**_fields(here.input), "sha256": sha256}))
            try:
                replies = await asyncio.gather(*(here.dask.run(here.task(input=image, sleep=0.1)) for _ in range(8)))
            finally:
                os.close(descriptor)
            assert {bytes(reply.body) for reply in replies} == {near}
            states = (await asyncio.to_thread(cluster.states)).values()
            assert [state["received"].get(sha256) for state in states] == [1, 1], "once to each"

    asyncio.run(run())


def test_a_plugin_that_fails_leaves_the_dask_worker_alone(cluster: DaskCluster, tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(cluster.address, tmp_path) as here:
            before = cluster.pids()
            with pytest.raises(PluginCrashed, match="SIGKILL"):
                await here.dask.run(here.task(end="kill"))
            with pytest.raises(PluginFailed, match="no such luck"):
                await here.dask.run(here.task(end="raise"))
            with pytest.raises(PluginMemory, match="512 MiB"):
                await here.dask.run(here.task(end="memory"))
            here.program = type(here.program)(**{**here.program.to_wire(), "timeout": 0.5})
            with pytest.raises(PluginTimeout, match=r"0\.5 s"):
                await here.dask.run(here.task(sleep=30))
            with pytest.raises(Invalid):
                await here.dask.run(here.task(sleep=1 << 70))
            assert (await here.dask.run(here.task())).meta["kind"] == "image"
            assert cluster.pids() == before

    asyncio.run(run())


def test_a_worker_that_is_killed_loses_nothing(cluster: DaskCluster, tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(cluster.address, tmp_path) as here:
            note = tmp_path / "note"
            tasks = [asyncio.create_task(here.dask.run(here.task(sleep=0.5, note=str(note)))) for _ in range(8)]
            await until(lambda: note.exists() and len(note.read_text().split()) >= 3)
            pids = cluster.pids()
            os.kill(pids[0], signal.SIGKILL)
            replies = await asyncio.gather(*tasks)
            assert len({bytes(reply.body) for reply in replies}) == 1
            assert len(replies) == 8
            await until(lambda: len(set(cluster.pids()) - set(pids)) == 1)
            # The one that came in its place gets what it needs, too.
            await asyncio.gather(*(here.dask.run(here.task(sleep=0.2)) for _ in range(8)))
            received = Counter(
                count for state in cluster.states().values() for count in [state["received"].get(here.program.digest)]
            )
            assert received == {1: 2}

    asyncio.run(run())


def test_what_is_cancelled_is_not_begun(cluster: DaskCluster, tmp_path: Path) -> None:
    async def run() -> None:
        async with bench(cluster.address, tmp_path) as here:
            await asyncio.gather(*(here.dask.run(here.task()) for _ in range(4)))
            note = tmp_path / "note"
            tasks = [asyncio.create_task(here.dask.run(here.task(sleep=0.5, note=str(note)))) for _ in range(8)]
            await until(note.exists)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
            await here.dask.run(here.task())
            await here.dask.run(here.task())
            assert len(note.read_text().split()) <= 4, "those under way, and what the workers had begun to fetch"

    asyncio.run(run())


def test_another_version_is_refused(cluster: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with bench(cluster.address, tmp_path) as here:
            monkeypatch.setattr(messages, "__version__", "99.1")
            with pytest.raises(Unavailable, match=r"tcp://127.*runs NeurDICOM .*the server 99.1; install"):
                await here.dask.run(here.task())

    asyncio.run(run())
