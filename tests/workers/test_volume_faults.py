"""Volumes that do not fit, and what is left of one when something ends in the middle: nothing."""

import asyncio
import gc
import io
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from neurdicom.errors import NeurdicomError, PluginCrashed, PluginFailed, PluginMemory
from neurdicom.workers.call import CancellationToken
from neurdicom.workers.executor import Task
from neurdicom.workers.pool import Program
from neurdicom.workers.pool_executor import PoolExecutor
from tests.support.pools import running
from tests.support.series import ct_slice
from tests.support.volumes import ASIS, FRAME, VolumeRunner, inputs_of, samples


def test_what_is_too_large_is_refused_beforehand(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    crash = FRAME + "VOLUME { abort(); }"
    pixels = np.zeros((64, 256, 256), "i2")
    files = [ct_slice(1, pixels=pixels, NumberOfFrames=64)]
    with pytest.raises(PluginMemory, match=r"64 slices of 256 x 256 takes 32 MiB as doubles, and probe may use 32 MiB"):
        run(volume(crash, memory=32), files)
    # It counts once: the rest of the limit is the plugin's.
    touch = (
        FRAME
        + """VOLUME {
        for (long i = 0; i < (long)w * h * d; ++i) v[i] = i;
        char* more = malloc(40 << 20); memset(more, 1, 40 << 20); usleep(50000); v[0] = more[w];
            free(more); return v; }"""
    )
    assert run(volume(touch, memory=100), files).meta["shape"] == [64, 256, 256]
    assert np.load(io.BytesIO(bytes(run(volume(touch, memory=100), files, "npy").body)))[-1, -1, -1] == (64 << 16) - 1
    with pytest.raises(PluginMemory, match="went past its memory limit of 64 MiB"):
        run(volume(touch, memory=64, digest="other"), files)


def _volumes_held() -> int:
    """Count the open files and mappings of volumes in this process and in those that it started."""
    held, pids = 0, [os.getpid()]
    while pids:
        process = Path(f"/proc/{pids.pop()}")
        with suppress(OSError):  # it has just ended
            held += sum("memfd:volume" in str(file.readlink()) for file in (process / "fd").iterdir())
            held += (process / "maps").read_text().count("memfd:volume")
            for thread in (process / "task").iterdir():
                pids += map(int, (thread / "children").read_text().split())
    return held


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_crash_leaves_nothing(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    pixels = np.zeros((64, 256, 256), "i2")
    files = [ct_slice(1, pixels=pixels, NumberOfFrames=64)]
    open_files = _open_files()
    for fault, error, says in (
        ("v[0] = 1; abort();", PluginCrashed, "SIGABRT"),
        ("raise(SIGKILL);", PluginCrashed, "SIGKILL"),
        ("*(volatile double*)(v + (long)w * h * d + (1 << 20)) = 1; *(volatile int*)8 = 1;", PluginCrashed, "SIGSEGV"),
        ("exit(3);", PluginCrashed, "status 3"),
    ):
        for _ in range(4):
            with pytest.raises(error, match=says):
                run(volume(FRAME + f"VOLUME {{ {fault} return v; }}", name=f"{error.code}.c", digest=fault), files)
    assert _volumes_held() == 0
    assert _open_files() <= open_files + 12  # the workers that are up


def test_many_volumes_leave_nothing(run: VolumeRunner, volume: Callable[..., Program]) -> None:
    program = volume(FRAME + "VOLUME { for (long i = 0; i < (long)w * h * d; ++i) v[i] += 1; return v; }")
    inputs = inputs_of(run.folder, [ct_slice(n, pixels=np.zeros((64, 64), "i2")) for n in range(1, 9)])
    task = Task(program, inputs, format="f64", volume=True)

    async def many(count: int) -> None:
        for _ in range(count):
            await run.executor.run(task)

    run._shared.run(many(30))
    workers = [group["pids"] for group in run._shared.pool.statistics()]
    before = [_held(pid) for pids in workers for pid in pids]
    files = _open_files()
    run._shared.run(many(270))
    assert [group["pids"] for group in run._shared.pool.statistics()] == workers
    grown = [after - held for after, held in zip([_held(p) for ps in workers for p in ps], before, strict=True)]
    assert max(grown) < 4 << 20
    assert _open_files() == files
    assert _volumes_held() == 0


def _held(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_are_killed_while_they_fill(workers: int, tmp_path: Path, native: Callable[..., Program]) -> None:
    """Finish a fill by other workers, and give either the volume or an error that says so."""

    async def main() -> None:
        async with running(workers) as pool:
            executor = PoolExecutor(pool)
            pixels = np.arange(200 * 128 * 128, dtype="i4").astype("i2").reshape(200, 128, 128)
            files = [ct_slice(n, pixels=pixels[n]) for n in range(200)]
            task = Task(native(ASIS, level="series"), inputs_of(tmp_path, files), format="f64", volume=True)
            await executor.run(task)
            stop = False

            async def kill() -> None:
                while not stop:
                    await asyncio.sleep(0.05)
                    for group in pool.statistics():
                        for pid in group["pids"] if group["name"] == "volumes" else ():
                            os.kill(pid, signal.SIGKILL)

            killing = asyncio.create_task(kill())
            outcomes = []
            for _ in range(8):
                try:
                    reply = await executor.run(task)
                    np.testing.assert_array_equal(samples(reply), pixels)
                    outcomes.append("volume")
                except NeurdicomError as error:
                    assert not isinstance(error, PluginFailed), error
                    outcomes.append(error.code)
            stop = True
            await killing
            assert _volumes_held() == 0
            assert set(outcomes) <= {"volume", "not_available", "unavailable", "plugin_crashed"}, outcomes
            reply = await executor.run(task)
            np.testing.assert_array_equal(samples(reply), pixels)

    asyncio.run(main())
    gc.collect()  # tracebacks hold replies, which hold descriptors


@pytest.mark.parametrize("how", ["cancelled", "stopped"])
def test_a_caller_that_goes_away(how: str, tmp_path: Path, native: Callable[..., Program]) -> None:
    """Free the memory with its last user, whether slices are read or the plugin works."""

    async def main() -> None:
        async with running(2) as pool:
            executor = PoolExecutor(pool)
            files = [ct_slice(n, pixels=np.zeros((128, 128), "i2")) for n in range(100)]
            source = FRAME + "VOLUME { usleep(20000); return v; }"
            task = Task(native(source, level="series"), inputs_of(tmp_path, files), format="f64", volume=True)
            await executor.run(task)
            for step in range(20):
                token = CancellationToken()
                call = asyncio.create_task(executor.run(task, token))
                await asyncio.sleep(step * 0.005)
                if how == "cancelled":
                    call.cancel()
                else:
                    token.cancel()
                await asyncio.gather(call, return_exceptions=True)
            assert (await executor.run(task)).meta["shape"] == [100, 128, 128]
            assert _volumes_held() == 0

    asyncio.run(main())
    gc.collect()  # tracebacks hold replies, which hold descriptors
