"""The calls of a native plugin: what it gets, what may come back, and who owns it."""

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurdicom import _bridge
from neurdicom.errors import PluginFailed
from neurdicom.workers.loaders.native import NativePlugin, aligned

Make = Callable[..., Path]

IN_PLACE = (
    "double* Process(Plugin* p, double* img, int w, int h, const char* s) { img[0] = w; img[1] = h; return img; }"
)


def image(height: int = 3, width: int = 5) -> Any:
    made = aligned((height, width), single=False)
    made[...] = np.arange(height * width).reshape(height, width)
    return made


def test_in_place(library: Make) -> None:
    plugin = NativePlugin(library(IN_PLACE))
    pixels = image()
    result = plugin.process(pixels, b"{}")
    assert result is not None
    assert result.shape == (3, 5)
    assert result.dtype == np.float64
    assert result.ctypes.data == pixels.ctypes.data
    assert (result[0, 0], result[0, 1]) == (5, 3)
    assert not result.flags.writeable
    with pytest.raises(BufferError):
        plugin.close()
    del result
    plugin.close()
    plugin.close()
    with pytest.raises(ValueError, match="closed"):
        plugin.process(pixels, b"{}")


def test_the_image_lives_as_long_as_its_result(library: Make) -> None:
    plugin = NativePlugin(library(IN_PLACE))
    result = plugin.process(image(500, 500), b"{}")
    gc.collect()
    assert result is not None
    assert result[499, 499] == 249_999
    del result
    plugin.close()


def test_alignment() -> None:
    for single in (True, False):
        for width in range(1, 40):
            made = aligned((3, width), single=single)
            assert made.ctypes.data % 64 == 0
            assert made.flags.c_contiguous


def test_params_arrive_as_utf8(library: Make) -> None:
    source = "#include <string.h>\n" + IN_PLACE.replace("img[0] = w", 'img[0] = strcmp(s, u8"{\\"ä\\":1}")')
    plugin = NativePlugin(library(source))
    result = plugin.process(image(), '{"ä":1}'.encode())
    assert result is not None
    assert result[0, 0] == 0
    del result
    plugin.close()


COUNTING = """
static int freed;
double* Process(Plugin* p, double* img, int w, int h, const char* s) {
    double* made = malloc(sizeof *made * w * h);
    for (int i = 0; i < w * h; ++i) made[i] = img[i] + freed;
    return made;
}
void FreeResult(Plugin* p, double* result) { free(result); ++freed; }
"""


def test_each_result_is_freed_once(library: Make) -> None:
    plugin = NativePlugin(library(COUNTING))
    kept = [plugin.process(image(), b"{}") for _ in range(4)]
    assert kept[3] is not None
    assert kept[3][0, 0] == 0  # none was freed
    view = kept[0][1:, 2:] if kept[0] is not None else None
    kept.clear()
    gc.collect()
    result = plugin.process(image(), b"{}")
    assert result is not None
    assert result[0, 0] == 3  # one is still seen
    assert view is not None
    assert view[0, 0] == 7
    del view
    result = plugin.process(image(), b"{}")
    assert result is not None
    assert result[0, 0] == 4
    with pytest.raises(BufferError):
        plugin.close()
    del result
    plugin.close()


def test_a_lent_result_is_not_overwritten(library: Make) -> None:
    """Keep a result without FreeResult, valid until the next Process, while somebody looks at it."""
    plugin = NativePlugin(
        library("""
        static double kept[15];
        double* Process(Plugin* p, double* img, int w, int h, const char* s) { kept[0]++; return kept; }
    """)
    )
    first = plugin.process(image(), b"{}")
    with pytest.raises(BufferError, match="still in use"):
        plugin.process(image(), b"{}")
    del first
    second = plugin.process(image(), b"{}")
    assert second is not None
    assert second[0, 0] == 2
    del second
    plugin.close()


def test_result_shape(library: Make) -> None:
    plugin = NativePlugin(
        library(
            COUNTING.replace("w * h", "4 * w * h")
            + """
        void ResultShape(Plugin* p, int* width, int* height, int* channels) {
            *width += 1; *height -= 1; *channels += 2;
        }
    """.replace("img[i]", "0")
        )
    )
    pixels = aligned((4 * 3, 5), single=False)[:3]
    result = plugin.process(pixels, b"{}")
    assert result is not None
    assert result.shape == (2, 6, 3)
    assert result.strides == (144, 24, 8)
    del result
    plugin.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("*width = 0;", "must be positive"),
        ("*height = -4;", "must be positive"),
        ("*channels = 65;", "at most 64"),
        ("*width = 6;", "the result is in the image"),
        ("*width = 2147483647; *height = 2147483647; *channels = 64;", "samples can't be"),
    ],
)
def test_a_shape_that_cannot_be(library: Make, body: str, says: str) -> None:
    plugin = NativePlugin(
        library(IN_PLACE + f"void ResultShape(Plugin* p, int* width, int* height, int* channels) {{{body}}}")
    )
    with pytest.raises(PluginFailed, match=says):
        plugin.process(image(), b"{}")
    plugin.close()


def test_single_precision_is_preferred(library: Make) -> None:
    plugin = NativePlugin(
        library(
            IN_PLACE
            + """
        float* ProcessF32(Plugin* p, float* img, int w, int h, const char* s) {
            float* made = malloc(sizeof *made * w * h);
            for (int i = 0; i < w * h; ++i) made[i] = img[i] / 2;
            return made;
        }
        void FreeResultF32(Plugin* p, float* result) { free(result); }
    """
        )
    )
    assert plugin.wants_float32
    pixels = aligned((2, 2), single=True)
    pixels[...] = [[1, 2], [3, 4]]
    result = plugin.process(pixels, b"{}")
    assert result is not None
    assert result.dtype == np.float32
    assert result.tolist() == [[0.5, 1], [1.5, 2]]
    del result
    plugin.close()


def test_single_precision_alone_is_enough(library: Make) -> None:
    plugin = NativePlugin(
        library("float* ProcessF32(Plugin* p, float* img, int w, int h, const char* s) { return img; }")
    )
    with pytest.raises(TypeError):
        plugin._library.process(image(), b"{}")
    plugin.close()


def test_json_beside_and_instead(library: Make) -> None:
    plugin = NativePlugin(
        library("""
        #include <string.h>
        static const char* text;
        double* Process(Plugin* p, double* img, int w, int h, const char* s) {
            text = strstr(s, "json") ? "{\\"area\\": 1.5}" : 0;
            return strstr(s, "image") ? img : 0;
        }
        const char* ResultJson(Plugin* p) { return text; }
    """)
    )
    assert plugin.process(image(), b"image json") is not None
    assert plugin.result_json() == '{"area": 1.5}'
    assert plugin.process(image(), b"json") is None
    assert plugin.result_json() == '{"area": 1.5}'
    assert plugin.process(image(), b"image") is not None
    assert plugin.result_json() is None
    plugin.close()


def test_the_last_error(library: Make) -> None:
    plugin = NativePlugin(
        library("""
        double* Process(Plugin* p, double* img, int w, int h, const char* s) { return 0; }
        const char* LastError(Plugin* p) { return "zu gro\\xc3\\x9f \\xff"; }
        const char* ResultJson(Plugin* p) { return "{}"; }
    """)
    )
    with pytest.raises(PluginFailed, match="zu groß \ufffd"):
        plugin.process(image(), b"{}")
    plugin.close()


def test_what_can_throw_may(library: Make) -> None:
    source = """
        #include <new>
        #include <stdexcept>
        #include <string>
        struct Plugin { int calls = 0; };
        extern "C" {
        Plugin* InitPlugin() { return new Plugin; }
        double* Process(Plugin* plugin, double* img, int, int, const char* params) {
            ++plugin->calls;
            switch (params[0]) {
                case 'r': throw std::runtime_error("thrown: " + std::string(600, 'x'));
                case 'm': throw std::bad_alloc();
                case 'a': { std::string big; big.resize(big.max_size()); break; }
                case 'i': throw 1;
                case 'l': throw std::length_error("too long");
            }
            img[0] = plugin->calls;
            return img;
        }
        void FreeResult(Plugin*, double*) { throw 1; }
        const char* ResultJson(Plugin*) { throw std::runtime_error("in ResultJson"); }
        void DestroyPlugin(Plugin* plugin) { delete plugin; throw std::runtime_error("in DestroyPlugin"); }
        }
    """
    plugin = NativePlugin(library(source, frame=False, name="plugin.cpp"))
    for params, says in ((b"r", "thrown: xxx"), (b"i", "not a std::exception"), (b"l", "too long")):
        with pytest.raises(PluginFailed, match=says):
            plugin.process(image(), params)
    with pytest.raises(MemoryError):
        plugin.process(image(), b"m")
    with pytest.raises((MemoryError, PluginFailed)):
        plugin.process(image(), b"a")
    result = plugin.process(image(), b"{}")
    assert result is not None
    assert result[0, 0] == 6
    del result
    with pytest.raises(PluginFailed, match="in ResultJson"):
        plugin.result_json()
    with pytest.raises(PluginFailed, match="in DestroyPlugin"):
        plugin.close()


def test_the_gil_is_released(library: Make) -> None:
    """Python code runs while the plugin works."""
    plugin = NativePlugin(library("#include <unistd.h>\n" + IN_PLACE.replace("img[0] = w", "usleep(300000)")))
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    plugin.process(image(), b"{}")
    stop.set()
    thread.join()
    assert len(ticks) > 5
    plugin.close()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (np.zeros((4, 4), "f4"), ValueError),
        (np.zeros((4, 4), "i4"), ValueError),
        (np.zeros(16), ValueError),
        (np.zeros((2, 2, 4)), ValueError),
        (np.zeros((4, 8))[:, ::2], ValueError),
        (np.zeros((4, 4), order="F")[:3], ValueError),
        (np.frombuffer(bytes(128), "f8").reshape(4, 4), ValueError),
        (aligned((9, 8), single=False)[:, :].reshape(-1)[1:65].reshape(8, 8), ValueError),
        (np.zeros((0, 4)), ValueError),
        (None, TypeError),
        ("text", TypeError),
    ],
)
def test_an_image_that_is_none(library: Make, wrong: Any, error: type[Exception]) -> None:
    """Type, dimensions, order, writability and alignment are checked before a pointer is taken."""
    plugin = NativePlugin(library(IN_PLACE))
    with pytest.raises((error, BufferError)):
        plugin._library.process(wrong, b"{}")
    plugin.close()


def test_the_result_is_a_buffer(library: Make) -> None:
    raw = _bridge.Library(str(library(IN_PLACE)))
    result = raw.process(image(), b"{}")
    assert result is not None
    assert result.is_in_place
    assert result.shape == (3, 5)
    with memoryview(result) as view:  # type: ignore[arg-type,unused-ignore]
        assert (view.format, view.shape, view.strides, view.readonly) == ("d", (3, 5), (40, 8), True)
    del result
    raw.close()
