"""Whatever a plugin does, it ends that one request, with the right error; the next one is served."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurdicom.errors import NeurdicomError, PluginCrashed, PluginFailed, PluginMemory, PluginTimeout
from neurdicom.workers.pool import Program
from tests.support.pools import Pool, running

FAULTS = """
import ctypes, os, signal, subprocess, sys, threading, time

class Plugin:
    def process(self, ds, fault="", **kwargs):
        return getattr(self, fault)() if fault else {"pid": os.getpid()}

    def raises(self):
        raise ValueError("first line\\nlast line")

    def raises_what_utf8_cannot_carry(self):
        raise ValueError("caf\\udce9")

    def raises_our_error_with_it(self):
        from neurdicom.errors import PluginFailed
        raise PluginFailed("caf\\udce9", field=object())

    def raises_what_takes_no_attributes(self):
        class Rigid(Exception):
            def __setattr__(self, name, value):
                raise AttributeError(name)
        raise Rigid("rigid")

    def raises_with_no_text(self):
        class Mute(BaseException):
            def __str__(self):
                raise SystemExit
        raise Mute

    def replaces_its_output(self):
        sys.stdout = sys.stderr = 5
        raise ValueError("quietly")

    def raises_system_exit(self):
        sys.exit(7)

    def exits(self):
        os._exit(0)

    def segfaults(self):
        ctypes.string_at(0)

    def kills_itself(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def aborts(self):
        os.abort()

    def hangs(self):
        while True:
            time.sleep(1)

    def hangs_in_c(self):
        ctypes.CDLL(None).pause()

    def spins(self):
        while True:
            pass

    def ignores_signals(self):
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        self.hangs()

    def leaks(self):
        kept = []
        while True:
            kept.append(b"x" * (4 << 20))

    def asks_for_all(self):
        return bytearray(1 << 45)

    def recurses(self):
        return self.recurses()

    def closes_everything(self):
        os.closerange(3, 1024)
        time.sleep(30)

    def talks_on_the_socket(self):
        for descriptor in range(3, 20):
            try:
                os.write(descriptor, b"A" * 300)
            except OSError:
                pass
        time.sleep(30)

    def stops(self):
        os.kill(os.getpid(), signal.SIGSTOP)

    def closes_its_output(self):
        os.close(1)
        os.close(2)
        raise ValueError("quietly")
"""

PYTHON = [
    ("raises", PluginFailed, "probe failed: last line"),
    ("raises_what_utf8_cannot_carry", PluginFailed, "ValueError: caf\\udce9"),
    ("raises_our_error_with_it", PluginFailed, "caf\\udce9"),
    ("raises_what_takes_no_attributes", PluginFailed, "Rigid: rigid"),
    ("raises_with_no_text", PluginFailed, "Mute"),
    ("replaces_its_output", PluginFailed, "ValueError: quietly"),
    ("raises_system_exit", PluginCrashed, "status 7"),
    ("exits", PluginCrashed, "status 0"),
    ("segfaults", PluginCrashed, "SIGSEGV"),
    ("kills_itself", PluginCrashed, "SIGKILL"),
    ("aborts", PluginCrashed, "SIGABRT"),
    ("hangs", PluginTimeout, "0.5 s"),
    ("hangs_in_c", PluginTimeout, "0.5 s"),
    ("spins", PluginTimeout, "0.5 s"),
    ("ignores_signals", PluginTimeout, "0.5 s"),
    ("leaks", PluginMemory, "100 MiB"),
    ("asks_for_all", PluginMemory, "100 MiB"),
    ("recurses", PluginFailed, "RecursionError"),
    ("closes_everything", PluginCrashed, "closed its connection"),
    ("talks_on_the_socket", PluginCrashed, "broke its connection"),
    ("stops", PluginTimeout, "0.5 s"),
    ("closes_its_output", PluginFailed, "quietly"),
]

NATIVE = [
    ("crash", PluginCrashed, "SIGSEGV"),
    ("abort", PluginCrashed, "SIGABRT"),
    ("divide", PluginCrashed, "SIGFPE"),
    ("overflow", PluginCrashed, "SIGSEGV"),
    ("hang", PluginTimeout, "0.5 s"),
    ("leak", PluginMemory, "100 MiB"),
    ("null", PluginFailed, "NULL"),
    ("error", PluginFailed, "the kernel is larger than the image"),
    ("exit", PluginCrashed, "status 3"),
    ("throw", PluginFailed, "thrown in C++"),
    ("throw_number", PluginFailed, "not a std::exception"),
    ("bad_alloc", PluginMemory, "100 MiB"),
    ("unchecked", PluginMemory, "100 MiB"),
    ("noexcept", PluginMemory, "100 MiB"),
    ("stack", PluginCrashed, "SIGSEGV"),
    ("free_image", PluginCrashed, "SIGABRT"),
    ("close", PluginCrashed, "connection"),
]


def both(shared: Pool, program: Program, arguments: dict[str, Any], fault: str) -> NeurdicomError:
    """The error of a call with this fault; a call without one is answered before and after."""
    shared.process(program, arguments)
    begun = time.monotonic()
    with pytest.raises(NeurdicomError) as caught:
        shared.process(program, arguments, fault=fault)
    assert time.monotonic() - begun < 10
    assert shared.process(program, arguments).body
    return caught.value


@pytest.mark.parametrize(("fault", "kind", "says"), PYTHON, ids=[fault for fault, _, _ in PYTHON])
def test_python(
    shared: Pool,
    python: Callable[..., Program],
    instance: dict[str, Any],
    fault: str,
    kind: type[Exception],
    says: str,
) -> None:
    program = python(FAULTS, timeout=0.5 if kind is PluginTimeout else 20.0, memory=100)
    error = both(shared, program, instance, fault)
    assert type(error) is kind, error
    assert says in str(error)
    assert "probe" in str(error) or fault == "raises_our_error_with_it"


@pytest.mark.parametrize(("fault", "kind", "says"), NATIVE, ids=[fault for fault, _, _ in NATIVE])
def test_native(
    shared: Pool, examples: Path, instance: dict[str, Any], fault: str, kind: type[Exception], says: str
) -> None:
    limit = 0.5 if kind is PluginTimeout else 20.0
    program = Program("native", str(examples / "failing/failing.so"), name="probe", timeout=limit, memory=100)
    error = both(shared, program, instance, fault)
    assert type(error) is kind, error
    assert says in str(error)


def test_one_fault_harms_no_other_call(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    """Calls in other workers of the same plugin, and of others, go on while one dies."""
    failing = python(FAULTS, timeout=10.0)
    slow = "import time\nclass Plugin:\n    def process(self, ds): time.sleep(0.3); return [1]"
    other = python(slow, timeout=10.0)

    async def scenario() -> None:
        async with running(3) as pool:
            faults = ["segfaults", "kills_itself", "exits"]
            calls = [pool.call(other, "process", instance) for _ in range(6)]
            calls += [pool.call(failing, "process", instance | {"params": {"fault": fault}}) for fault in faults]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [bytes(each.body) for each in results[:6] if not isinstance(each, BaseException)] == [b"[1]"] * 6
            assert [type(each) for each in results[6:]] == [PluginCrashed] * 3

    asyncio.run(scenario())


def test_everything_that_a_plugin_started_ends_with_it(
    python: Callable[..., Program], instance: dict[str, Any], tmp_path: Path
) -> None:
    """Children, a child in a session of its own, a daemon that forked twice: gone with their worker."""
    noted = tmp_path / "pids"
    program = python(
        f"""
        import os, subprocess, time

        def note():
            with open({str(noted)!r}, "a") as file:
                file.write(f"{{os.getpid()}}\\n")

        class Plugin:
            def process(self, ds, die=False):
                if os.fork() == 0:
                    note()
                    time.sleep(60)
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        note()
                        time.sleep(60)
                    note()
                    time.sleep(60)
                subprocess.Popen(["sleep", "60"], start_new_session=True)
                while not os.path.exists({str(noted)!r}) or len(open({str(noted)!r}).readlines()) < 3:
                    time.sleep(0.01)
                os.abort()
        """
    )

    async def scenario() -> None:
        async with running(1) as pool:
            with pytest.raises(PluginCrashed):
                await pool.call(program, "process", instance)
            until = time.monotonic() + 5
            pids = [int(line) for line in noted.read_text().split()]
            assert len(pids) == 3
            while any(Path(f"/proc/{pid}").exists() for pid in pids):
                assert time.monotonic() < until
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_an_exception_leaves_a_fresh_worker(
    python: Callable[..., Program], instance: dict[str, Any], tmp_path: Path
) -> None:
    """Replace the worker of a failed call, whose leaks do not spoil the next; the plugin can clean up."""
    program = python(
        f"""
        import os
        class Plugin:
            def process(self, ds, fault=False):
                while fault:
                    os.open("/dev/null", os.O_RDONLY)
                return [os.getpid()]
            def destroy(self):
                os.mkdir({str(tmp_path / "destroyed")!r})
        """
    )

    async def scenario() -> None:
        async with running(1) as pool:
            first = await pool.call(program, "process", instance)
            with pytest.raises(PluginFailed, match="Too many open files"):
                await pool.call(program, "process", instance | {"params": {"fault": True}})
            second = await pool.call(program, "process", instance)
            assert first.body != second.body
            assert (tmp_path / "destroyed").exists()
            (tmp_path / "destroyed").rmdir()

    asyncio.run(scenario())


def test_a_worker_that_dies_at_rest_is_replaced(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python(FAULTS)

    async def scenario() -> None:
        async with running(1) as pool:
            await pool.call(program, "process", instance)
            [first] = pool.statistics()[0]["pids"]
            os.kill(first, signal.SIGKILL)
            while any(first in each["pids"] for each in pool.statistics()):
                await asyncio.sleep(0.01)
            await pool.call(program, "process", instance)
            assert pool.statistics()[0]["pids"] != [first]

    asyncio.run(scenario())


def test_the_memory_of_a_finished_call_is_no_fault(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    """Each call takes three quarters of the limit, many times over."""
    program = python("def process(self, ds): return {'n': len(b'x' * (70 << 20))}", memory=100)

    async def scenario() -> None:
        async with running(1) as pool:
            for _ in range(4):
                await pool.call(program, "process", instance)
            assert len(pool.statistics()[0]["pids"]) == 1

    asyncio.run(scenario())


def test_shared_memory_counts(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    source = """
    import mmap
    class Plugin:
        def process(self, ds):
            kept = mmap.mmap(-1, 1 << 30)
            for start in range(0, 1 << 30, 1 << 20):
                kept[start : start + (1 << 20)] = b"x" * (1 << 20)
            return []
    """

    async def scenario() -> None:
        async with running(1) as pool:
            with pytest.raises(PluginMemory):
                await pool.call(python(source, memory=100), "process", instance)

    asyncio.run(scenario())
