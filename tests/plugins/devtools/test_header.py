"""The C++ wrapper, compiled: strict warnings, both standards and compilers, the sanitizers, and through the bridge."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurdicom.workers.loaders.native import NativePlugin, aligned
from tests.support.devtools import INCLUDE, build, has_compiler

pytestmark = has_compiler


SOURCES = Path(__file__).parent / "wrapped"
COMPILERS = [name for name in ("g++", "clang++") if shutil.which(name)]


def compiled(folder: Path, name: str, *options: str, compiler: str = "c++", shared: bool = True) -> Path:
    library = ["-shared", "-fPIC", "-fvisibility=hidden"] if shared else []
    strict = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"]
    path = SOURCES / f"{name}.cpp"
    build(compiler, *(options or ("-std=c++17",)), *strict, *library, f"-I{INCLUDE}", path, "-o", folder / name)
    return folder / name


def image(*values: float) -> np.ndarray:
    made = aligned((2, len(values) // 2), single=False)
    made.reshape(-1)[:] = values
    return made


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("standard", ["-std=c++17", "-std=c++20"])
def test_strict_compilers_take_it(tmp_path: Path, compiler: str, standard: str) -> None:
    for name in ("wrapper", "single"):
        compiled(tmp_path, name, standard, "-O0", compiler=compiler)


def test_images_json_and_errors(tmp_path: Path) -> None:
    plugin = NativePlugin(compiled(tmp_path, "wrapper"))
    given = image(0, 1, 2, 3, 4, 5)
    result = plugin.process(given, b"{}")
    assert result is not None
    assert result[1, 2] == given[1, 2] == 99
    del result
    for _ in range(3):
        made = plugin.process(image(0, 1, 2, 3, 4, 5), b'{"how": "own"}')
        assert made is not None
        assert made.shape == (3, 3, 3)
        assert made[1, 2, 2] == 5
        assert plugin.result_json() == '{"own":true}'
        del made
    text = (
        '{"how":"json","weights":[1,2.5],"k":3,"on":true,"text":"\\u00e4ß","_image":{"spacing":[1,0.25]},"names":["a"]}'
    )
    assert plugin.process(image(0, 0), text.encode()) is None
    expected = '{"sum":3.5,"k":3,"on":true,"text":"äß","spacing":0.25,"names":["a"],"not":null}'
    assert plugin.result_json() == expected
    for params, message in {
        b'{"how":"error"}': "no kernel: größer als 1 is expected",
        b'{"how":"number"}': "an exception that is not a std::exception",
        b'{"how":3}': "parameter 'how': JSON: an integer was found, a text was expected",
        b'{"how":"json","weights":[1,"x"]}': "parameter 'weights': JSON: a text was found, a number was expected",
    }.items():
        with pytest.raises(RuntimeError, match=message):
            plugin.process(image(0, 0), params)
    with pytest.raises(MemoryError):
        plugin.process(image(0, 0), b'{"how":"memory"}')
    assert plugin.process(image(0, 0), b"{}") is not None
    plugin.close()


def test_volumes(tmp_path: Path) -> None:
    plugin = NativePlugin(compiled(tmp_path, "wrapper"))
    assert plugin.takes_volumes
    volume = aligned((3 * 2, 4), single=False).reshape(3, 2, 4)
    volume[...] = 1
    found = plugin.process_volume(volume, b"{}")
    assert found is not None
    result, is_stack = found
    assert (result.shape, is_stack, result[2, 0, 0]) == ((3, 2, 4), True, 3)
    del found, result
    found = plugin.process_volume(volume, b'{"project": true}')
    assert found is not None
    result, is_stack = found
    assert (result.shape, is_stack, result[1, 1], result[0, 0]) == ((2, 4), False, 3, 5)
    del found, result
    plugin.close()


def test_single_precision(tmp_path: Path) -> None:
    plugin = NativePlugin(compiled(tmp_path, "single"))
    assert plugin.wants_float32
    given = aligned((2, 2), single=True)
    given[...] = 3
    result = plugin.process(given, b"{}")
    assert result is not None
    assert result.tolist() == [[1.5, 1.5], [1.5, 1.5]]
    del result
    plugin.close()


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_json_reader_under_the_sanitizers(tmp_path: Path, compiler: str) -> None:
    options = ["-std=c++17", "-Og", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    program = compiled(tmp_path, "reader", *options, compiler=compiler, shared=False)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
