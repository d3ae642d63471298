"""Stored files can be read by their names in a call, and changed by nothing that a plugin or its children do."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydicom.data import get_testdata_file

from neurdicom.errors import PluginFailed
from neurdicom.workers import forkserver_client, landlock
from neurdicom.workers.pool import Program, WorkerPool
from neurdicom.workers.read_only import ReadOnlyFolders, may_mount
from tests.support.pools import arguments_of, running

READER = """
import os, subprocess, sys, tempfile
import pydicom

class Plugin:
    def process(self, ds, **kwargs):
        name = ds.filename
        with open(name, "rb") as file:
            own = len(file.read())
        child = subprocess.run([sys.executable, "-c", f"print(len(open({name!r}, 'rb').read()))"], capture_output=True)
        again = pydicom.dcmread(name)
        with tempfile.TemporaryDirectory() as folder:
            again.save_as(os.path.join(folder, "own.dcm"))
            os.mkdir(os.path.join(folder, "below"))
            os.rename(os.path.join(folder, "own.dcm"), os.path.join(folder, "below", "own.dcm"))
            os.link(os.path.join(folder, "below", "own.dcm"), os.path.join(folder, "linked.dcm"))
            kept = os.path.getsize(os.path.join(folder, "linked.dcm"))
        return {"own": own, "child": int(child.stdout), "rows": again.pixel_array.shape[0], "kept": kept > 0}
"""

WRITER = """
import ctypes, os, shutil, subprocess, sys, tempfile

class Plugin:
    def process(self, ds, **kwargs):
        self.ds, self.name = ds, ds.filename
        self.folder = os.path.dirname(self.name)
        self.elsewhere = tempfile.mkdtemp()
        self.other = os.path.join(self.elsewhere, "other")
        open(self.other, "w").close()
        found = {}
        for name in [each for each in dir(self) if each.startswith("try_")]:
            try:
                getattr(self, name)()
            except OSError as error:
                found[name] = type(error).__name__
            else:
                found[name] = "done"
        return found

    def try_save_as(self): self.ds.save_as(self.name)
    def try_open(self): open(self.name, "r+b")
    def try_append(self): open(self.name, "ab")
    def try_unlink(self): os.unlink(self.name)
    def try_rename(self): os.rename(self.name, self.name + "-moved")
    def try_move_out(self): os.rename(self.name, os.path.join(self.elsewhere, "moved"))
    def try_move_in(self): os.replace(self.other, self.name)
    def try_truncate(self): os.truncate(self.name, 10)
    def try_make(self): open(os.path.join(self.folder, "new"), "w")
    def try_folder(self): os.mkdir(os.path.join(self.folder, "new"))
    def try_symlink(self): os.symlink(self.other, os.path.join(self.folder, "new"))
    def try_link_in(self): os.link(self.other, os.path.join(self.folder, "new"))
    def try_remove_tree(self): shutil.rmtree(self.folder)

    def try_link_out(self):
        linked = os.path.join(self.elsewhere, "linked")
        os.link(self.name, linked)
        open(linked, "r+b")

    def try_chmod_and_write(self):
        try:
            os.chmod(self.name, 0o666)
        except OSError:
            print("no chmod, either")
        open(self.name, "r+b")

    def try_by_way_of_a_link(self):
        way = os.path.join(self.elsewhere, "way")
        os.symlink(self.folder, way)
        open(os.path.join(way, os.path.basename(self.name)), "r+b")

    def try_by_descriptor(self):
        with open(self.name, "rb") as file:
            open(f"/proc/self/fd/{file.fileno()}", "r+b")

    def try_relative(self):
        os.chdir(self.folder)
        open(os.path.basename(self.name), "r+b")

    def try_by_another_process(self):
        open(f"/proc/{os.getppid()}/root{self.name}", "r+b")

    def try_child(self):
        code = "import sys; open(sys.argv[1], 'r+b')"
        if subprocess.run([sys.executable, "-c", code, self.name], stderr=subprocess.DEVNULL).returncode:
            raise OSError("the child failed")

    def try_unmount(self):
        libc = ctypes.CDLL(None, use_errno=True)
        folders = self.name.split("/")
        for depth in range(len(folders), 1, -1):
            libc.umount2("/".join(folders[:depth]).encode(), 2)
        libc.unshare(0x10000000 | 0x20000)  # a user namespace, in which it has all capabilities, and mounts
        for depth in range(len(folders), 1, -1):
            libc.umount2("/".join(folders[:depth]).encode(), 2)
        open(self.name, "r+b")
"""

OPENER = """
class Plugin:
    def process(self, ds, pids, **kwargs):
        opened = []
        for pid in pids:
            try:
                open(f"/proc/{pid}/root{ds.filename}", "r+b")
            except OSError:
                continue
            opened.append(pid)
        return {"opened": opened}
"""

NATIVE = """
#include <stdio.h>
#include <stdlib.h>
struct Plugin { int unused; };
static struct Plugin only;
extern "C" {
Plugin* InitPlugin() { return &only; }
double* Process(Plugin*, double* img, int width, int height, const char* params) {
    const char* name = getenv("NAME") ? getenv("NAME") : STORED;
    FILE* file = fopen(name, "rb");
    img[0] = file != NULL;
    if (file) fclose(file);
    file = fopen(name, "r+b");
    img[1] = file != NULL;
    if (file) fclose(file);
    img[2] = remove(name) == 0;
    return img;
}
void DestroyPlugin(Plugin*) {}
}
"""


@pytest.fixture(params=["mounts", "landlock"])
def means(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What protects the folders: each that this machine has."""
    means: str = request.param
    if means == "mounts" and not may_mount():
        pytest.skip("these tests may not mount")
    if means == "landlock":
        if landlock.version() < 3:
            pytest.skip(f"the kernel's Landlock has version {landlock.version()}; 3 is expected")
        python = tmp_path / "python"  # Python without CAP_SYS_ADMIN
        python.write_text(
            f"#!{sys.executable}\nimport ctypes, os, sys\nctypes.CDLL(None).prctl(24, 21, 0, 0, 0)\n"
            f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])\n"
        )
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        monkeypatch.setattr(forkserver_client, "may_mount", lambda: False)
    return means


class ProtectedFile:
    """A data folder with a stored file, and calls of plugins on it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.file = data / "blobs" / "objects" / "stored"
        self.file.parent.mkdir(parents=True)
        self.spool = data / "blobs" / "spool"
        self.spool.mkdir()
        self.content = Path(get_testdata_file("CT_small.dcm")).read_bytes()
        self.file.write_bytes(self.content)
        self.file.chmod(0o400)

    def call(self, *programs: Program, verb: str = "process", **arguments: Any) -> list[bytes | memoryview]:
        """Call each program, and see that the file is as it was."""

        async def call(pool: WorkerPool, program: Program) -> bytes | memoryview:
            return (await pool.call(program, verb, arguments_of(self.file) | {"params": {}} | arguments)).body

        async def main() -> list[bytes | memoryview]:
            async with running(1, read_only=ReadOnlyFolders.of([self.data, self.spool.parent], self.spool)) as pool:
                return [await call(pool, program) for program in programs]

        try:
            return asyncio.run(main())
        finally:
            assert self.file.read_bytes() == self.content
            assert [path for path in self.data.rglob("*") if path.is_file() and not path.is_symlink()] == [self.file]


@pytest.fixture
def stored(tmp_path: Path) -> ProtectedFile:
    return ProtectedFile(tmp_path / "data")


def test_stored_files_are_read_by_name_and_not_changed(
    means: str, stored: ProtectedFile, python: Callable[..., Program]
) -> None:
    read, written = map(orjson.loads, stored.call(python(READER), python(WRITER)))
    size = len(stored.content)
    assert read == {"own": size, "child": size, "rows": 128, "kept": True}
    assert len(written) >= 20
    assert {name: outcome for name, outcome in written.items() if outcome == "done"} == {}


def test_other_processes_lead_to_no_stored_file(
    means: str, stored: ProtectedFile, python: Callable[..., Program]
) -> None:
    drop = "import ctypes, os\nfor each in range(64): ctypes.CDLL(None).prctl(24, each, 0, 0, 0)\n"
    code = f"{drop}os.execvp('sh', ['sh', '-c', 'echo; read line'])"  # with no capabilities
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            (body,) = stored.call(python(OPENER), params={"pids": [other.pid, os.getpid(), 1]})
        finally:
            other.communicate(b"\n")
    assert orjson.loads(body) == {"opened": []}


def test_a_temporary_folder_in_the_data_folder(
    means: str, stored: ProtectedFile, python: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = stored.data / "tmp"
    usual.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(usual))
    source = "def process(self, ds, **kwargs): return {'folder': __import__('os').environ['TMPDIR']}"
    read, written, folder = map(orjson.loads, stored.call(python(READER), python(WRITER), python(source)))
    assert read["kept"]
    assert "done" not in written.values()
    assert Path(folder["folder"]).parent == usual
    assert list(usual.iterdir()) == []


def test_a_home_in_the_data_folder(
    means: str, stored: ProtectedFile, python: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: libraries keep their settings in the home, and find what there is."""
    (stored.data / "settings").symlink_to(stored.file)
    monkeypatch.setenv("HOME", str(stored.data))
    source = """
    def process(self, ds, **kwargs):
        from pathlib import Path
        folder = Path.home() / ".config" / "library"
        folder.mkdir(parents=True)
        (folder / "settings").write_text("new")
        return {"found": len((Path.home() / "settings").read_bytes())}
    """
    (body,) = stored.call(python(source))
    assert orjson.loads(body) == {"found": len(stored.content)}
    (stored.data / "settings").unlink()


def test_a_server_without_a_temporary_folder_starts(
    means: str, stored: ProtectedFile, python: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert stored.call(python("def process(self, ds, **kwargs): return {'rows': ds.Rows}")) == [b'{"rows":128}']


def test_saving_over_the_stored_file_fails_with_a_sentence(
    means: str, stored: ProtectedFile, python: Callable[..., Program]
) -> None:
    with pytest.raises(
        PluginFailed, match="can't be changed: the data folder is read-only for plugins; write to a temporary"
    ):
        stored.call(python("def process(self, ds, **kwargs): ds.save_as(ds.filename)"))


def test_native_code(means: str, stored: ProtectedFile, native: Callable[..., Program]) -> None:
    source = f'#define STORED "{stored.file}"\n' + NATIVE
    (body,) = stored.call(native(source, name="plugin.cpp"), format="f64")
    assert list(memoryview(body).cast("d"))[:3] == [1, 0, 0]


def test_our_own_modules_write_to_the_spool_alone(
    means: str, stored: ProtectedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "writes_to_spool.py"
    module.write_text(
        "def write(arguments):\n"
        "    open(arguments['spool'] + '/new', 'w').close()\n"
        "    import os\n"
        "    os.unlink(arguments['spool'] + '/new')\n"
        "    try:\n"
        "        open(arguments['path'], 'r+b')\n"
        "    except OSError:\n"
        "        return {}, b'refused'\n"
        "    return {}, b'done'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    program = Program("builtin", "writes_to_spool", timeout=20.0)
    assert stored.call(program, verb="write", spool=str(stored.spool)) == [b"refused"]


def test_a_kernel_without_means_is_told() -> None:
    folders = ReadOnlyFolders.of([Path("/")])
    assert (folders.weakness() is None) == (may_mount() or landlock.version() >= 3)


@pytest.mark.parametrize(
    ("first", "action"),
    [("_give_up((21,))", 0x80000000), ("", 0x00050001)],
    ids=["without the capability, killed for trying", "with it, refused"],
)
def test_a_filter_of_system_calls(first: str, action: int) -> None:
    """A service manager's filter may kill a server that tries to mount; a container's refuses it."""
    code = f"""
import ctypes, struct
from neurdicom.workers.read_only import _give_up, may_mount
{first}
rules = ((0x20, 0, 0, 0), (0x15, 0, 1, 442), (0x06, 0, 0, {action}), (0x06, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = struct.pack("HP", len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
print(may_mount())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_folders_in_others_are_left_out_and_links_resolved(tmp_path: Path) -> None:
    (tmp_path / "data" / "blobs").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    data = tmp_path / "data"
    found = ReadOnlyFolders.of([data, data / "blobs", data / "linked"])
    assert found.folders == (str(data), str(tmp_path / "elsewhere"))
    assert found.holds(str(tmp_path))
    assert not found.holds(str(data / "blobs"))
