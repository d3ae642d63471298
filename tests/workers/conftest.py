"""Pools, plugins and instances for the tests of the worker runtime; nothing may be left behind by any of them."""

import shutil
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from neurdicom.workers.pool import Program
from tests.support.checkout import CHECKOUT, HEADERS
from tests.support.compiled import compile_library, contents, once, toolchain
from tests.support.pools import Pool, arguments_of, descendants
from tests.support.volumes import ASIS, VolumeRunner

EXAMPLES = CHECKOUT / "native_examples"


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    if "shared" in request.fixturenames:  # its workers outlive the test that started them
        yield
        return
    threads, files, children = threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), set(descendants())
    yield
    until = time.monotonic() + 5.0
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    assert set(descendants()) <= children
    assert len(list(Path("/proc/self/fd").iterdir())) <= files


@pytest.fixture(scope="module")
def shared() -> Iterator[Pool]:
    """A pool for all tests of a module."""
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def instance() -> dict[str, Any]:
    """Arguments that name a CT of 128 x 128 pixels."""
    return arguments_of(Path(get_testdata_file("CT_small.dcm")))


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., Program]:
    """Make a Python plugin of the source of its class's methods, or of a whole module."""

    def make(source: str, *, files: dict[str, str] | None = None, **fields: Any) -> Program:
        folder = tmp_path / f"plugin-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        source = textwrap.dedent(source)
        if "class Plugin" not in source:
            source = "class Plugin:\n" + textwrap.indent(source, "    ")
        for name, content in ({"plugin.py": source} | (files or {})).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(textwrap.dedent(content))
        options: dict[str, Any] = {"name": "probe", "digest": folder.name, "timeout": 20.0, "memory": 512} | fields
        return Program("python", str(folder), **options)

    return make


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native examples, built."""

    def make(folder: Path) -> None:
        shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("*.so"), dirs_exist_ok=True)
        subprocess.run(["make", "--silent", "-C", str(folder), f"INCLUDE={HEADERS}"], check=True)

    sources = [path for path in EXAMPLES.rglob("*") if path.is_file() and path.suffix != ".so"]
    made = once(toolchain("make", "cc", "c++") + contents(*sources, *HEADERS.iterdir()), make)
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("native") / "native_examples"))


def build(source: str, folder: Path, name: str = "plugin.c") -> Path:
    """Compile a library of C or C++ source, which may rely on the public header."""
    path = folder / name
    path.write_text('#include "neurdicom_plugin.h"\n' + textwrap.dedent(source))
    return compile_library(path, "-O2")


@pytest.fixture
def native(tmp_path: Path) -> Callable[..., Program]:
    """Make a native plugin of C source."""

    def make(source: str, *, name: str = "plugin.c", **fields: Any) -> Program:
        library = build(source, tmp_path, name)
        options: dict[str, Any] = {"name": "probe", "timeout": 20.0, "memory": 512} | fields
        return Program("native", str(library), **options)

    return make


@pytest.fixture
def run(shared: Pool, tmp_path: Path) -> VolumeRunner:
    return VolumeRunner(shared, tmp_path)


@pytest.fixture
def volume(native: Callable[..., Program]) -> Callable[..., Program]:
    """A native plugin of level series."""
    return lambda source=ASIS, **fields: native(source, level="series", **fields)
