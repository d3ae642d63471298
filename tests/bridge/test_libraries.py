"""Libraries that are loaded, and the reasons why others are not."""

import platform
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from neurdicom.errors import PluginFailed
from neurdicom.workers.loaders.native import NativePlugin, aligned, check_library
from tests.support.compiled import compile_library

Make = Callable[..., Path]

IN_PLACE = "double* Process(Plugin* p, double* img, int w, int h, const char* s) { return img; }"


def test_missing_symbols_are_named(library: Make) -> None:
    with pytest.raises(PluginFailed, match="does not export Process, DestroyPlugin"):
        NativePlugin(library("Plugin* InitPlugin(void) { return 0; }", frame=False))


def test_mangled_symbols_are_explained(library: Make) -> None:
    source = "struct Own {}; Own* InitPlugin() { return new Own; }"
    path = library("", frame=False)
    (path.parent / "mangled.cpp").write_text(source)
    with pytest.raises(PluginFailed, match='declare them extern "C"'):
        NativePlugin(compile_library(path.parent / "mangled.cpp"))


def test_an_init_that_gives_nothing(library: Make) -> None:
    source = IN_PLACE + "Plugin* InitPlugin(void) { return 0; } void DestroyPlugin(Plugin* p) {}"
    with pytest.raises(PluginFailed, match="InitPlugin returned NULL"):
        NativePlugin(library(source, frame=False))


def test_a_library_that_needs_what_is_not_there(library: Make) -> None:
    source = IN_PLACE + "\nvoid nobody_has_this(void); void more(void) { nobody_has_this(); }"
    with pytest.raises(PluginFailed, match="nobody_has_this"):
        NativePlugin(library(source))


def test_another_architecture_is_named(library: Make, tmp_path: Path) -> None:
    content = bytearray(library(IN_PLACE).read_bytes())
    other, name = (183, "AArch64") if platform.machine() == "x86_64" else (62, "x86-64")
    struct.pack_into("<H", content, 18, other)
    path = tmp_path / "other.so"
    path.write_bytes(content)
    with pytest.raises(PluginFailed, match=f"other.so is made for .*{name}.*this server runs on"):
        NativePlugin(path)
    content[4] = 1
    struct.pack_into("<H", content, 18, 3)
    path.write_bytes(content)
    with pytest.raises(PluginFailed, match="32-bit x86, little-endian, 32 bit"):
        check_library(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"MZ" + bytes(100), b"#!/bin/sh\n" + bytes(50), b"\x7fELF" + bytes(40)]
)
def test_no_library_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plugin.so"
    path.write_bytes(content)
    with pytest.raises(PluginFailed, match="is not a shared library"):
        NativePlugin(path)


def test_a_library_that_is_cut_off(library: Make) -> None:
    path = library(IN_PLACE)
    content = path.read_bytes()
    for length in (64, 100, 1000, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(PluginFailed, match="is cut off"):
            NativePlugin(path)


SHARED = """
double helper(void) {{ return {0}; }}
double* Process(Plugin* p, double* img, int w, int h, const char* s) {{ img[0] = helper(); return img; }}
"""


def test_symbols_are_not_shared(library: Make) -> None:
    """Two libraries with functions of the same name call their own."""
    plugins = [NativePlugin(library(SHARED.format(number), name=f"plugin{number}.c")) for number in (1, 2)]
    for number, plugin in enumerate(plugins, 1):
        result = plugin.process(aligned((3, 5), single=False), b"{}")
        assert result is not None
        assert result[0, 0] == number
        del result
        plugin.close()
