"""Return values of plugins, and the results made of them."""

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

from neurdicom.errors import Invalid, NeurdicomError, NotAvailable, PluginFailed
from neurdicom.workers.pool import Program, Reply
from tests.support.pools import Pool, arguments_of

HEAD = """
import collections, datetime, decimal, pathlib, uuid
import numpy as np
from PIL import Image
from pydicom import Dataset

class Plugin:
    def process(self, ds, **kwargs):
        pixels = ds.pixel_array
        return """


@pytest.fixture
def reply(shared: Pool, python: Callable[..., Program], instance: dict[str, Any]) -> Callable[..., Reply]:
    def call(expression: str, *, result: str | None = None, path: str | None = None, **arguments: Any) -> Reply:
        base = instance if path is None else arguments_of(Path(get_testdata_file(path)))
        return shared.process(python(HEAD + expression, result=result), base | arguments)

    return call


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{'a': 1, 'b': [None, True, 'ü']}", {"a": 1, "b": [None, True, "ü"]}),
        ("[np.int16(3), np.float32(0.5), np.bool_(True), np.uint64(2**64 - 1)]", [3, 0.5, True, 2**64 - 1]),
        (
            "{'array': np.arange(6).reshape(2, 3).T, 'empty': np.zeros((0, 2))}",
            {"array": [[0, 3], [1, 4], [2, 5]], "empty": []},
        ),
        (
            "{'big': np.arange(3, dtype='>i2'), 'mask': np.array([True, False])}",
            {"big": [0, 1, 2], "mask": [True, False]},
        ),
        ("{np.int64(1): 'one', 2: 'two', 2.5: 'x', None: 0}", {"1": "one", "2": "two", "2.5": "x", "None": 0}),
        (
            "{'nan': float('nan'), 'inf': np.float64('inf'), 'a': np.array([np.nan])}",
            {"nan": None, "inf": None, "a": [None]},
        ),
        (
            "{'name': ds.PatientName, 'uid': ds.SOPClassUID, 'spacing': ds.PixelSpacing, 'position': ds.SliceLocation}",
            {
                "name": "CompressedSamples^CT1",
                "uid": "1.2.840.10008.5.1.4.1.1.2",
                "spacing": [0.661468, 0.661468],
                "position": -77.2040634155,
            },
        ),
        ("{'when': datetime.date(2024, 1, 2), 'path': pathlib.Path('/x')}", {"when": "2024-01-02", "path": "/x"}),
        ("[uuid.UUID(int=1), decimal.Decimal('1.5')]", ["00000000-0000-0000-0000-000000000001", 1.5]),
        (
            "[(1, 2), {3}, frozenset({4}), collections.OrderedDict(a=1), range(2), (x for x in 'a')]",
            [[1, 2], [3], [4], {"a": 1}, [0, 1], ["a"]],
        ),
        ("[]", []),
        ("{}", {}),
        ("'text'", "text"),
        ("np.float64(2.5)", 2.5),
        ("np.arange(3)", [0, 1, 2]),
        ("True", True),
        ("{'object': np.array([1, 'a', None], dtype=object)}", {"object": [1, "a", None]}),
        ("{'nested': {'deep': [{'array': np.float16(1.5)}]}}", {"nested": {"deep": [{"array": 1.5}]}}),
    ],
)
def test_json(reply: Callable[..., Reply], expression: str, expected: Any) -> None:
    got = reply(expression)
    assert got.meta["kind"] == "json"
    assert got.meta["media_type"] == "application/json"
    assert orjson.loads(bytes(got.body)) == expected


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("None", "returned None"),
        ("object()", "object is no value of JSON"),
        ("{'x': b'bytes'}", "bytes is no value of JSON"),
        ("{'x': 1j}", "complex"),
        ("{(1, 2): 3}", "key of type tuple"),
        ("lambda: 1", "function"),
        ("{'x': 2 ** 70}", "64-bit"),
        ("{'x': '\\ud800'}", "UTF-8"),
    ],
)
def test_no_json(reply: Callable[..., Reply], expression: str, says: str) -> None:
    with pytest.raises(PluginFailed, match=says):
        reply(expression)


def test_json_that_holds_itself(shared: Pool, python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python("def process(self, ds):\n    a = []\n    a.append(a)\n    return a")
    with pytest.raises(PluginFailed):
        shared.process(program, instance)


def test_an_array_is_a_picture(reply: Callable[..., Reply]) -> None:
    got = reply("pixels.astype('f8') * 2")
    assert (got.meta["kind"], got.meta["media_type"]) == ("image", "image/png")
    picture = np.asarray(Image.open(io.BytesIO(bytes(got.body))))
    assert picture.shape == (128, 128)
    assert (picture.min(), picture.max()) == (0, 255)


@pytest.mark.parametrize(
    ("format", "expression", "dtype", "shape"),
    [
        ("f64", "pixels.astype('f8') * 2", "<f8", (128, 128)),
        ("f32", "pixels.astype('f4') * 2", "<f4", (128, 128)),
        ("f32", "pixels * 2", "<f4", (128, 128)),
        ("f64", "(pixels * 2)[:, ::-1][:, ::-1]", "<f8", (128, 128)),
        ("f64", "(pixels * 2.0).astype('>f8')", "<f8", (128, 128)),
        ("f64", "np.stack([pixels * 2.0] * 3, axis=-1)", "<f8", (128, 128, 3)),
        ("f64", "np.stack([pixels * 2.0] * 7)", "<f8", (7, 128, 128)),
        ("f32", "np.asfortranarray(pixels.astype('f4') * 2)", "<f4", (128, 128)),
    ],
)
def test_raw_samples(
    reply: Callable[..., Reply], format: str, expression: str, dtype: str, shape: tuple[int, ...]
) -> None:
    got = reply(expression, format=format)
    assert (tuple(got.meta["shape"]), got.meta["dtype"]) == (shape, dtype)
    array = np.frombuffer(got.body, dtype).reshape(shape)
    pixels = pydicom.dcmread(get_testdata_file("CT_small.dcm")).pixel_array * 2.0
    expected = np.stack([pixels] * 3, axis=-1) if shape[-1] == 3 else np.broadcast_to(pixels, shape)
    np.testing.assert_array_equal(array, expected.astype(dtype))


def test_other_formats(reply: Callable[..., Reply]) -> None:
    got = reply("pixels", format="npy")
    np.testing.assert_array_equal(
        np.load(io.BytesIO(bytes(got.body))), pydicom.dcmread(get_testdata_file("CT_small.dcm")).pixel_array
    )
    got = reply("pixels > 500", format="lum8")
    assert set(bytes(got.body)) == {0, 255}
    got = reply("pixels", format="jpeg")
    assert got.meta["media_type"] == "image/jpeg"
    with pytest.raises(NotAvailable):
        reply("pixels", format="json")


def test_colour(reply: Callable[..., Reply]) -> None:
    got = reply("np.dstack([np.full((4, 5), each, 'u1') for each in (10, 20, 30)])")
    picture = Image.open(io.BytesIO(bytes(got.body)))
    assert (picture.mode, picture.size, picture.getpixel((0, 0))) == ("RGB", (5, 4), (10, 20, 30))


@pytest.mark.parametrize(
    ("mode", "pixel"), [("L", 7), ("RGB", (1, 2, 3)), ("RGBA", (1, 2, 3, 4)), ("P", None), ("1", None), ("CMYK", None)]
)
def test_a_pil_image_stays_as_it_is(reply: Callable[..., Reply], mode: str, pixel: Any) -> None:
    got = reply(f"Image.new({mode!r}, (6, 4), {pixel!r})")
    picture = Image.open(io.BytesIO(bytes(got.body)))
    assert picture.size == (6, 4)
    if pixel is not None:
        assert (picture.mode, picture.getpixel((5, 3))) == (mode, pixel)


@pytest.mark.parametrize(
    ("expression", "kind", "pixel"),
    [
        ("Image.new('I;16', (6, 4), 4000)", "<u2", 4000),
        ("Image.new('I;16B', (6, 4), 4000)", "<u2", 4000),
        ("Image.new('RGBA', (6, 4), (100, 50, 0, 255)).convert('RGBa')", "|u1", [100, 50, 0, 255]),
        ("Image.new('LA', (6, 4), (100, 255)).convert('La')", "|u1", [100, 100, 100, 255]),
    ],
)
def test_rarer_pil_images_keep_their_values(
    reply: Callable[..., Reply], expression: str, kind: str, pixel: Any
) -> None:
    samples = np.load(io.BytesIO(bytes(reply(expression, format="npy").body)))
    assert samples.dtype.newbyteorder("<").str == kind
    assert samples[3, 5].tolist() == pixel


@pytest.mark.parametrize("wanted", ["f32", "f64", "npy"])
def test_an_image_without_samples(reply: Callable[..., Reply], wanted: str) -> None:
    got = reply("np.zeros((0, 4))", format=wanted)
    assert got.meta["shape"] == [0, 4]
    assert wanted == "npy" or got.body == b""
    with pytest.raises(NotAvailable):
        reply("np.zeros((0, 4))")


def test_a_stack_gives_the_frame_that_was_asked_for(reply: Callable[..., Reply]) -> None:
    stack = "np.stack([np.full((4, 5), 10 * frame, 'u1') + np.arange(5) for frame in range(6)])"
    got = reply(stack, format="lum8", frame=2)
    assert got.meta["shape"] == [4, 5]
    with pytest.raises(Invalid, match="frame"):
        reply(stack, frame=7)


def test_bytes(reply: Callable[..., Reply]) -> None:
    got = reply("b'raw' * 100_000")
    assert (got.meta["kind"], got.meta["media_type"]) == ("bytes", "application/octet-stream")
    assert got.body == b"raw" * 100_000
    assert reply("memoryview(np.arange(3, dtype='<i2'))").body == b"\0\0\1\0\2\0"
    assert reply("memoryview(bytes(range(6)))[::2]").body == b"\0\2\4"
    assert reply("memoryview(np.zeros((2, 3), 'u1'))").body == bytes(6)


def test_the_declared_kind_decides(reply: Callable[..., Reply]) -> None:
    got = reply("pixels[:2, :2]", result="JSON")
    assert np.array(orjson.loads(bytes(got.body))).shape == (2, 2)
    got = reply("[[1, 2], [3, 4.5]]", result="IMAGE", format="f64")
    assert np.frombuffer(got.body, "<f8").tolist() == [1, 2, 3, 4.5]
    for wrong in ("{'a': 1}", "'text'", "[[1], [2, 3]]", "np.zeros(3)", "np.zeros((2, 2, 2, 2))", "[['a', 'b']]"):
        with pytest.raises(PluginFailed, match="imag"):
            reply(wrong, result="IMAGE")


def test_datasets(reply: Callable[..., Reply]) -> None:
    got = reply("ds")
    assert got.meta["media_type"] == "application/dicom"
    again = pydicom.dcmread(io.BytesIO(bytes(got.body)))
    assert again == pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    got = reply("[ds, ds]")
    assert got.meta["kind"] == "dicom"
    assert got.meta["media_type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert bytes(got.body).count(b"DICM") == 2
    with pytest.raises(PluginFailed):
        reply("Dataset()")


def test_a_result_of_many_megabytes(reply: Callable[..., Reply]) -> None:
    got = reply("np.ones((3000, 3000))", format="f64")
    assert len(got.body) == 72_000_000
    assert isinstance(got.body, memoryview)
    assert got.body.readonly
    assert np.frombuffer(got.body, "<f8").min() == 1


def test_a_description_that_is_too_long(shared: Pool, python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python("def process(self, ds): raise ValueError('x' * 10_000_000)")
    with pytest.raises(PluginFailed) as caught:
        shared.process(program, instance)
    assert len(str(caught.value)) < 5000


def test_edits_reach_the_plugin(shared: Pool, python: Callable[..., Program], instance: dict[str, Any]) -> None:
    program = python("def process(self, ds): return [str(ds.PatientName)]")
    got = shared.process(
        program,
        instance
        | {"edits": [{"field": "patient_name", "value": "Müller^Ä", "user": "", "time": "2026-01-02T03:04:05Z"}]},
    )
    assert orjson.loads(bytes(got.body)) == ["Müller^Ä"]


def test_a_plugin_cannot_forge_the_servers_errors(
    shared: Pool, python: Callable[..., Program], instance: dict[str, Any]
) -> None:
    source = "from neurdicom.errors import {0}\nclass Plugin:\n    def process(self, ds): raise {0}('x')"
    for name in ("Unauthenticated", "Forbidden", "Unavailable", "PluginQuarantined"):
        with pytest.raises(NeurdicomError) as caught:
            shared.process(python(source.format(name)), instance)
        assert type(caught.value) is PluginFailed


@pytest.mark.parametrize("name", ["examples_rgb_color.dcm", "examples_palette.dcm", "JPEG2000.dcm", "rtplan.dcm"])
def test_any_instance_is_a_dataset(shared: Pool, python: Callable[..., Program], name: str) -> None:
    program = python("def process(self, ds): return [str(ds.SOPInstanceUID), ds.file_meta.TransferSyntaxUID]")
    path = Path(get_testdata_file(name))
    got = shared.process(program, arguments_of(path))
    ds = pydicom.dcmread(path)
    assert orjson.loads(bytes(got.body)) == [ds.SOPInstanceUID, ds.file_meta.TransferSyntaxUID]


def test_an_image_with_json_beside_it(reply: Callable[..., Reply]) -> None:
    pair = "(pixels[:2, :3] * 0 + 7, {'area': np.float64(1.5)})"
    for declared in ("IMAGE", "SEGMENTATION"):
        image = reply(pair, result=declared, format="npy")
        assert np.array_equal(np.load(io.BytesIO(bytes(image.body))), np.full((2, 3), 7))
        assert image.meta["json"] == {"area": 1.5}
        alone = reply(pair, result=declared, format="json")
        assert (alone.meta["kind"], orjson.loads(bytes(alone.body))) == ("json", {"area": 1.5})
    undeclared = reply("(1, {'area': 1.5})")
    assert orjson.loads(bytes(undeclared.body)) == [1, {"area": 1.5}]
