"""Native plugins in their workers: real pixels in, results as the declared kind says."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from neurdicom.errors import NotAvailable, PluginFailed
from neurdicom.workers.pool import Program
from tests.support.pools import Pool, arguments_of

FRAME = """
#include <stdlib.h>
#include <string.h>
Plugin* InitPlugin(void) { return (Plugin*)malloc(1); }
void DestroyPlugin(Plugin* plugin) { free(plugin); }
"""
ASIS = FRAME + "double* Process(Plugin* p, double* img, int w, int h, const char* s) { return img; }"


def samples(body: bytes | memoryview, shape: list[int], dtype: str = "<f8") -> Any:
    return np.frombuffer(body, dtype).reshape(shape)


def test_invert(shared: Pool, examples: Path, instance: dict[str, Any]) -> None:
    program = Program("native", str(examples / "invert/invert.so"), name="invert")
    pixels = pydicom.dcmread(instance["path"]).pixel_array.astype("f8")
    for params, factor in (({}, 1.0), ({"factor": 2.5}, 2.5)):
        reply = shared.process(program, instance | {"format": "f64"}, **params)
        assert reply.meta["shape"] == [128, 128]
        inverted = factor * (pixels.max() + pixels.min() - pixels)
        np.testing.assert_array_equal(samples(reply.body, reply.meta["shape"]), inverted)
    reply = shared.process(program, instance)
    picture = np.asarray(Image.open(io.BytesIO(bytes(reply.body))))
    assert picture[np.unravel_index(pixels.argmin(), pixels.shape)] == 255


def test_window(shared: Pool, examples: Path, instance: dict[str, Any]) -> None:
    program = Program("native", str(examples / "window/window.so"), name="window", input="modality")
    ds = pydicom.dcmread(instance["path"])
    values = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    reply = shared.process(program, instance | {"format": "f32"}, center=40.0, width=400.0)
    expected = np.clip(((values - 39.5) / 399 + 0.5) * 255, 0, 255)
    np.testing.assert_allclose(samples(reply.body, reply.meta["shape"], "<f4"), expected, atol=1e-3)
    assert reply.meta["json"] == {"clipped": pytest.approx(((expected <= 0) | (expected >= 255)).mean(), abs=1e-3)}
    with pytest.raises(PluginFailed, match=r"width is 0\.5"):
        shared.process(program, instance, center=40.0, width=0.5)


@pytest.mark.parametrize(
    ("name", "frame"),
    [("examples_rgb_color.dcm", 1), ("JPEG2000.dcm", 1), ("examples_palette.dcm", 1), ("examples_ybr_color.dcm", 7)],
)
def test_every_kind_of_pixel_arrives_as_grey(
    shared: Pool, native: Callable[..., Program], name: str, frame: int
) -> None:
    path = Path(get_testdata_file(name))
    ds = pydicom.dcmread(path)
    reply = shared.process(native(ASIS), arguments_of(path) | {"frame": frame, "format": "f64"})
    assert reply.meta["shape"] == [ds.Rows, ds.Columns]
    assert np.ptp(samples(reply.body, reply.meta["shape"])) > 0


def test_colour_and_another_size(shared: Pool, native: Callable[..., Program], instance: dict[str, Any]) -> None:
    source = """
    double* Process(Plugin* p, double* img, int w, int h, const char* s) {
        double* made = malloc(sizeof *made * 3 * 10 * 20);
        for (int i = 0; i < 200; ++i) { made[3 * i] = i; made[3 * i + 1] = 2 * i; made[3 * i + 2] = 0; }
        return made;
    }
    void FreeResult(Plugin* p, double* result) { free(result); }
    void ResultShape(Plugin* p, int* width, int* height, int* channels) { *width = 20; *height = 10; *channels = 3; }
    """
    program = native(FRAME + source)
    reply = shared.process(program, instance)
    picture = Image.open(io.BytesIO(bytes(reply.body)))
    assert (picture.mode, picture.size) == ("RGB", (20, 10))
    reply = shared.process(program, instance | {"format": "npy"})
    assert np.load(io.BytesIO(bytes(reply.body)))[9, 19].tolist() == [199, 398, 0]


def test_single_precision(shared: Pool, native: Callable[..., Program], instance: dict[str, Any]) -> None:
    source = "float* ProcessF32(Plugin* p, float* img, int w, int h, const char* s) { img[0] = -1; return img; }"
    program = native(FRAME + source)
    for modality in ("stored", "modality"):
        program = Program(**program.to_wire() | {"input": modality, "digest": modality})
        reply = shared.process(program, instance | {"format": "f32"})
        assert reply.meta["dtype"] == "<f4"
        array = samples(reply.body, reply.meta["shape"], "<f4")
        assert array[0, 0] == -1
        ds = pydicom.dcmread(instance["path"])
        added = float(ds.RescaleIntercept) if modality == "modality" else 0.0
        np.testing.assert_array_equal(array[1:], ds.pixel_array[1:] + added)


@pytest.mark.parametrize(
    ("params", "result", "expected"),
    [
        ({"gives": "image json"}, None, "image"),
        ({"gives": "image json"}, "IMAGE", "image"),
        ({"gives": "image json"}, "JSON", "json"),
        ({"gives": "json"}, "JSON", "json"),
        ({"gives": "json"}, None, "json"),
        ({"gives": "json"}, "IMAGE", "NULL"),
        ({"gives": "nothing"}, None, "NULL"),
        ({"gives": "image"}, "JSON", "no JSON"),
        ({"gives": "image broken"}, "JSON", "not JSON"),
        ({"gives": "nothing"}, "IMAGE", "NULL"),
    ],
)
def test_json(
    shared: Pool,
    native: Callable[..., Program],
    instance: dict[str, Any],
    params: dict[str, str],
    result: str | None,
    expected: str,
) -> None:
    program = native(
        FRAME
        + """
        static const char* text;
        double* Process(Plugin* p, double* img, int w, int h, const char* s) {
            text = strstr(s, "json") ? "{\\"area\\": [1.5, \\"\\xc2\\xb2\\"]}" : strstr(s, "broken") ? "{" : 0;
            return strstr(s, "image") ? img : 0;
        }
        const char* ResultJson(Plugin* p) { return text; }
        """,
        result=result,
    )
    if expected in ("image", "json"):
        reply = shared.process(program, instance, **params)
        assert reply.meta["kind"] == expected
        found = reply.meta["json"] if expected == "image" else orjson.loads(bytes(reply.body))
        assert found == {"area": [1.5, "²"]}
    else:
        with pytest.raises(PluginFailed, match=expected):
            shared.process(program, instance, **params)


def test_an_instance_without_pixels(shared: Pool, native: Callable[..., Program]) -> None:
    with pytest.raises(NotAvailable):
        shared.process(native(ASIS), arguments_of(Path(get_testdata_file("rtplan.dcm"))))


@pytest.mark.parametrize(
    ("library", "says"),
    [("wrong_symbols.so", 'declare them extern "C"'), ("crash_at_load.so", "SIGABRT")],
)
def test_what_cannot_be_loaded(shared: Pool, examples: Path, instance: dict[str, Any], library: str, says: str) -> None:
    program = Program("native", str(examples / "failing" / library), name="probe")
    with pytest.raises(Exception, match=says):
        shared.run(shared.pool.probe(program))


def test_params_are_json_with_every_text(
    shared: Pool, native: Callable[..., Program], instance: dict[str, Any]
) -> None:
    """A plugin gets UTF-8, and one buffer ended by zero."""
    source = (
        FRAME
        + """
    static char text[1000];
    double* Process(Plugin* p, double* img, int w, int h, const char* s) { strcpy(text, s); return img; }
    const char* ResultJson(Plugin* p) { return text; }
    """
    )
    given = {"text": 'quote " ä 😀 \n', "list": [1, 2.5, True, None], "nested": {"a": {}}}
    reply = shared.process(native(source, result="JSON"), instance, **given)
    assert orjson.loads(bytes(reply.body)) == given
