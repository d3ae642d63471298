"""The processes themselves: what they inherit, what they print, and that none outlives the server."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydicom.data import get_testdata_file

from neurdicom.errors import PluginCrashed
from neurdicom.workers.pool import Program
from tests.support.pools import Pool, arguments_of, descendants, running


def test_nothing_outlives_a_killed_server(
    python: Callable[..., Program], instance: dict[str, Any], tmp_path: Path
) -> None:
    """kill -9 in the middle of calls: workers, their children and the forking process are gone."""
    noted = tmp_path / "pids"
    program = python(
        f"""
        import os, subprocess, time

        class Plugin:
            def process(self, ds):
                child = subprocess.Popen(["sleep", "60"], start_new_session=True)
                with open({str(noted)!r}, "a") as file:
                    file.write(f"{{os.getpid()}}\\n{{child.pid}}\\n{{os.getppid()}}\\n")
                time.sleep(60)
        """
    )
    server = f"""
import asyncio, json
from neurdicom.workers.pool import Program, WorkerPool

async def main():
    pool = WorkerPool(2)
    await pool.open()
    program = Program.from_wire(json.loads({json.dumps(json.dumps(program.to_wire()))}))
    instance = json.loads({json.dumps(json.dumps(instance))})
    await asyncio.gather(*(pool.call(program, "process", instance) for _ in range(2)))

asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", server])
    try:
        until = time.monotonic() + 30
        while not noted.exists() or len(noted.read_text().split()) < 6:
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    pids = {int(line) for line in noted.read_text().split()}
    assert len(pids) == 5
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_killed_forking_process_is_replaced(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    async def scenario() -> None:
        others = set(descendants())  # such as a server that other tests share
        async with running(1) as pool:
            program = python("def process(self, ds, seconds=0):\n    import time; time.sleep(seconds); return [1]")
            await pool.call(program, "process", instance)
            [forking] = set(descendants()) - others
            busy = asyncio.create_task(pool.call(program, "process", instance | {"params": {"seconds": 30}}))
            await asyncio.sleep(0.1)
            os.kill(forking, signal.SIGKILL)
            with pytest.raises(PluginCrashed):
                await busy
            reply = await pool.call(program, "process", instance)
            assert reply.body == b"[1]"

    asyncio.run(scenario())


def test_the_forking_process_has_one_thread(python: Callable[..., Program], instance: dict[str, Any]) -> None:
    """A fork copies one thread; a lock that another one held would stay locked for ever."""

    async def scenario() -> None:
        others = set(descendants())
        async with running(1) as pool:
            await pool.call(python("def process(self, ds): return []"), "process", instance)
            [forking] = set(descendants()) - others
            assert len(list(Path(f"/proc/{forking}/task").iterdir())) == 1

    asyncio.run(scenario())


def test_what_a_plugin_finds(
    python: Callable[..., Program], instance: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder first and as the working directory; no secret, no input, no descriptor but its own."""
    monkeypatch.setenv("NEURDICOM_MONGODB_URI", "mongodb://name:secret@host")
    program = python(
        """
        import os, signal, sys
        import helper, statistics
        from parts.inner import VALUE

        class Plugin:
            def process(self, ds, **kwargs):
                return {
                    "path": sys.path[0], "cwd": os.getcwd(), "input": sys.stdin.read(),
                    "environment": list(os.environ), "helper": helper.VALUE, "inner": VALUE,
                    "own": statistics.VALUE, "name": __name__, "file": __file__,
                    "kwargs": kwargs, "session": os.getsid(0) == os.getpid(),
                    "descriptors": len(os.listdir("/proc/self/fd")),
                    "handlers": [signal.getsignal(each) == signal.SIG_DFL for each in (signal.SIGTERM, signal.SIGCHLD)],
                    "random": __import__("numpy").random.rand(), "data": open("weights.txt").read(),
                }
        """,
        files={
            "helper.py": "VALUE = 1",
            "parts/__init__.py": "",
            "parts/inner.py": "VALUE = 2",
            "statistics.py": "VALUE = 3",
            "weights.txt": "0.5",
        },
    )

    async def scenario() -> list[dict[str, Any]]:
        answers = []
        async with running(1) as pool:
            for _ in range(2):
                reply = await pool.call(program, "process", instance | {"params": {"ä": [1.5, None, "ö"]}})
                answers.append(orjson.loads(bytes(reply.body)))
                await pool.retire(program.digest)
        return answers

    found, again = asyncio.run(scenario())
    assert found["path"] == found["cwd"] == program.target
    assert found["file"] == f"{program.target}/plugin.py"
    assert (found["helper"], found["inner"], found["own"], found["data"]) == (1, 2, 3, "0.5")
    assert not [name for name in found["environment"] if name.startswith("NEURDICOM_")]
    assert found["input"] == ""
    assert found["name"] == "plugin"
    assert found["kwargs"] == {"ä": [1.5, None, "ö"]}
    assert found["session"]
    assert found["handlers"] == [True, True]
    assert found["descriptors"] <= 6
    assert found["random"] != again["random"]
    assert not list(Path(program.target).rglob("__pycache__"))


def test_relative_imports(shared: Pool, python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python(
        """
        from . import settings
        from .parts.inner import both

        class Plugin:
            def process(self, ds):
                return both() + [settings.VALUE]
        """,
        files={
            "settings.py": "VALUE = 1",
            "parts/__init__.py": "",
            "parts/inner.py": "from .. import settings\ndef both(): return [settings.VALUE, __name__]",
        },
    )
    assert orjson.loads(bytes(shared.process(program, instance).body)) == [1, "plugin.parts.inner", 1]


NAMES = ["collections", "enum", "inspect", "logging", "re", "secrets", "signal", "threading", "types", "utils", "zlib"]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_of_any_name(
    shared: Pool, python: Callable[..., Program], instance: dict[str, Any], name: str
) -> None:
    """The plugin has its own, and we none of that: compressed pixels are read, and results encoded, as ever."""
    source = f"""
    import {name}

    class Plugin:
        def process(self, ds):
            return ds.pixel_array * {name}.OWN
    """
    program = python(source, files={f"{name}.py": "OWN = 1"})
    compressed = arguments_of(Path(get_testdata_file("MR_small_jp2klossless.dcm")))
    for wanted in ("png", "jpeg", "lum8"):
        assert shared.process(program, instance | {"format": wanted}).body
    assert shared.process(program, compressed).body


def test_what_a_plugin_prints_is_logged(
    python: Callable[..., Program], instance: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "neurdicom.plugin")
    program = python(
        r"""
        import os, sys

        class Plugin:
            def process(self, ds):
                print("to stdout: \u00e4")
                print("to stderr", file=sys.stderr)
                os.system("echo from a child")
                print("forged\r2026-01-01 \x1b[31mline")
                print("x" * 10_000)
                os.write(1, b"\xff not text\nno newline at the end")
                return []
        """,
        name="talker",
    )

    async def scenario() -> None:
        async with running(1) as pool:
            await pool.call(program, "process", instance)

    asyncio.run(scenario())
    lines = [record.getMessage() for record in caplog.records if record.name == "neurdicom.plugin"]
    assert "talker: to stdout: ä" in lines
    assert "talker: to stderr" in lines
    assert "talker: from a child" in lines
    assert "talker: forged\\x0d2026-01-01 \\x1b[31mline" in lines
    assert "talker: \\xff not text" in lines
    assert "talker: no newline at the end" in lines
    assert max(map(len, lines)) < 2100


def test_native_output_is_logged(examples: Path, instance: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """C's own buffer of stdout does not keep it until the worker's end."""
    caplog.set_level(logging.INFO, "neurdicom.plugin")
    program = Program("native", str(examples / "failing/failing.so"), name="talker")

    async def scenario() -> None:
        async with running(1) as pool:
            await pool.call(program, "process", instance | {"params": {"fault": "print"}})
            until = time.monotonic() + 5
            while "talker: 128 by 128" not in caplog.messages:
                assert time.monotonic() < until
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_a_flood_of_output_is_bounded(
    python: Callable[..., Program], instance: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A plugin that prints without end is slowed down, and neither the log nor other calls suffer."""
    caplog.set_level(logging.INFO, "neurdicom.plugin")
    flood = python("def process(self, ds):\n    while True: print('y' * 100)", timeout=1.5, name="flood")
    calm = python("def process(self, ds): return []")

    async def scenario() -> None:
        async with running(1) as pool:
            flooding = asyncio.create_task(pool.call(flood, "process", instance))
            while not flooding.done():
                await pool.call(calm, "process", instance)
                await asyncio.sleep(0.01)
            with pytest.raises(Exception, match="still running"):
                await flooding

    asyncio.run(scenario())
    lines = [each for each in caplog.messages if each.startswith("flood: ")]
    assert 50 < len(lines) < 800
    assert any("lines were left out" in each for each in lines)
