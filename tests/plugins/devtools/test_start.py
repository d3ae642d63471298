"""`neurdicom plugin new`, make and CMake: what they make passes the checks as it comes."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from neurdicom.errors import Invalid
from tests.support.checkout import CHECKOUT
from tests.support.devtools import build, check, environment, has_compiler, invoke

has_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")


def new(folder: Path, *options: str) -> Path:
    assert invoke("new", folder, *options)[0] == 0
    return folder


@has_compiler
@pytest.mark.parametrize("language", ["c", "cpp"])
def test_a_native_plugin_passes_with_make(tmp_path: Path, language: str) -> None:
    folder = new(tmp_path / "plugin", "--language", language)
    assert "passed" in build("make", "-C", folder, "test")
    output = build("make", "-C", folder, "plugin.so", "sanitize", "pack")
    assert "No problems found." in output
    with zipfile.ZipFile(folder / "plugin.zip") as archive:
        assert sorted(archive.namelist()) == ["META.json", f"plugin.{language}", "plugin.so"]
    report = check(folder)
    assert report["findings"] == []


def test_a_python_plugin_passes(tmp_path: Path) -> None:
    folder = new(tmp_path / "plugin")
    build("make", "-C", folder, "test", "pack", f"PYTHON={sys.executable}")
    assert check(folder)["findings"] == []
    with zipfile.ZipFile(folder / "plugin.zip") as archive:
        assert sorted(archive.namelist()) == ["META.json", "plugin.py"]


@has_compiler
def test_plugins_of_series_pass_their_own_tests(tmp_path: Path) -> None:
    native = new(tmp_path / "native", "--language", "cpp", "--level", "series")
    assert "passed" in build("make", "-C", native, "test")
    python = new(tmp_path / "python", "--level", "series")
    build("make", "-C", python, "test", f"PYTHON={sys.executable}")
    with pytest.raises(Invalid, match="no template in c for level series"):
        invoke("new", tmp_path / "c", "--language", "c", "--level", "series")


@has_compiler
@has_cmake
def test_a_plugin_built_with_cmake(tmp_path: Path) -> None:
    folder = new(tmp_path / "plugin", "--language", "cpp")
    lines = (
        (folder / "CMakeLists.txt").read_text().replace("plugin.cpp)\ntarget", "plugin.cpp FILES table.txt)\ntarget", 1)
    )
    (folder / "CMakeLists.txt").write_text(lines)
    (folder / "table.txt").write_text("1 2 3")
    status, where = invoke("cmake-dir")
    assert status == 0
    build("cmake", "-S", str(folder), "-B", str(folder / "build"), f"-DNeurDICOM_DIR={where.strip()}")
    build("cmake", "--build", folder / "build")
    build("ctest", "--test-dir", folder / "build")
    archive = folder / "build" / "plugin.zip"
    with zipfile.ZipFile(archive) as packed:
        assert sorted(packed.namelist()) == ["META.json", "plugin.so", "table.txt"]
    assert check(archive)["findings"] == []
    exported = build("nm", "-D", "--defined-only", folder / "build" / "plugin.so")
    functions = {line.split()[-1] for line in exported.splitlines() if " T " in line}
    assert functions == {
        "InitPlugin", "Process", "DestroyPlugin", "FreeResult", "LastError", "ResultJson", "ResultShape"
    }  # fmt: skip
    assert "No problems found." in build("cmake", "--build", folder / "build", "--target", "sanitize")


@has_cmake
def test_cmake_says_what_is_missing(tmp_path: Path) -> None:
    folder = new(tmp_path / "plugin", "--language", "c")
    (folder / "META.json").unlink()
    where = invoke("cmake-dir")[1].strip()
    command = ["cmake", "-S", str(folder), "-B", str(folder / "build"), f"-DNeurDICOM_DIR={where}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode != 0
    assert "neurdicom_add_plugin(plugin): there is no" in done.stderr


def test_the_headers_and_templates_are_packed_with_the_wheel() -> None:
    headers = Path(invoke("include-dir")[1].strip())
    assert {"neurdicom_plugin.h", "neurdicom_plugin.hpp", "neurdicom_json.hpp"} <= {p.name for p in headers.iterdir()}
    import tomllib

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["neurdicom"]
    package = CHECKOUT / "neurdicom"
    packed = {path.resolve() for pattern in patterns for path in package.glob(pattern)}
    for folder in ("include", "cmake", "templates"):
        files = {path.resolve() for path in (package / folder).resolve().rglob("*") if path.is_file()}
        assert files <= packed
