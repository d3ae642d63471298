"""The pixel routes over HTTP, on one server."""

import asyncio
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests.support.pixel_files import make_dataset, make_file, save
from tests.support.server import Server

ARRAY = np.arange(-300, 300, 2).astype("i2").reshape(15, 20)


class PixelRoutes:
    """Files stored for these tests, and a way to ask for them."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.client = server.client
        self.grey = self.store(make_file(folder / "grey.dcm", ARRAY, WindowCenter="0", WindowWidth="100")[0])
        colour = np.random.default_rng(0).integers(0, 256, (3, 6, 4, 3)).astype("u1")
        self.frames = colour
        self.colour = self.store(
            make_file(
                folder / "colour.dcm",
                colour.tobytes(),
                Rows=6,
                Columns=4,
                NumberOfFrames=3,
                BitsAllocated=8,
                SamplesPerPixel=3,
                PlanarConfiguration=0,
                PhotometricInterpretation="RGB",
            )[0]
        )
        report = make_dataset(b"", 1, 1, PixelData=None, Rows=None, Columns=None, Modality="SR")
        self.report = self.store(save(report, folder / "report.dcm")[0])
        cut = make_file(folder / "cut.dcm", ARRAY[:10].tobytes(), Rows=15, Columns=20, PixelRepresentation=1)[0]
        self.cut = self.store(cut)

    def store(self, path: Path) -> str:
        headers = {"Content-Type": "application/dicom"}
        answer = self.client.post("/api/instances", content=path.read_bytes(), headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["results"][0]["id"])

    def get(self, instance: str, what: str, status: int = 200, accept: str = "*/*", **query: Any) -> httpx.Response:
        answer = self.client.get(f"/api/instances/{instance}/{what}", params=query, headers={"Accept": accept})
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
        return answer

    def picture(self, instance: str, **query: Any) -> np.ndarray:
        return np.asarray(Image.open(BytesIO(self.get(instance, "image", **query).content)))


@pytest.fixture(scope="module")
def pixels(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PixelRoutes]:
    stored = PixelRoutes(server, tmp_path_factory.mktemp("pixels"))
    yield stored
    for instance in (stored.grey, stored.colour, stored.report, stored.cut):
        server.client.delete(f"/api/instances/{instance}")


def windowed(center: float, width: float) -> np.ndarray:
    return np.clip(((ARRAY - (center - 0.5)) / (width - 1) + 0.5) * 255 + 0.5, 0, 255.5).astype("u1")


def test_the_window_of_the_file_and_of_the_request(pixels: PixelRoutes) -> None:
    assert np.array_equal(pixels.picture(pixels.grey), windowed(0, 100))
    assert np.array_equal(pixels.picture(pixels.grey, window_center="-20.5", window_width="300"), windowed(-20.5, 300))


def test_frames_and_sizes(pixels: PixelRoutes) -> None:
    for number, frame in enumerate(pixels.frames, 1):
        assert np.array_equal(pixels.picture(pixels.colour, frame=number), frame)
    assert pixels.picture(pixels.grey, width=40).shape == (30, 40)
    assert pixels.picture(pixels.grey, height=30).shape == (30, 40)
    assert pixels.picture(pixels.grey, width=400, height=30).shape == (30, 40)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("*/*", "png"),
        ("image/jpeg", "jpeg"),
        ("image/webp;q=0.9, image/jpeg;q=0.2", "webp"),
        ("image/jpeg;q=1.0, image/png;q=0.9", "jpeg"),
        ("image/png;q=0.8, image/*;q=0.9", "jpeg"),
        ("image/jpeg, image/png", "png"),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "png"),
        ("text/html,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8", "png"),
        ("image/*", "png"),
    ],
)
def test_the_accept_header_chooses(pixels: PixelRoutes, accept: str, wanted: str) -> None:
    answer = pixels.get(pixels.grey, "image", accept=accept)
    assert answer.headers["Content-Type"] == f"image/{wanted}"
    assert answer.headers["Vary"] == "Accept"
    assert Image.open(BytesIO(answer.content)).format == wanted.upper()


def test_no_acceptable_format(pixels: PixelRoutes) -> None:
    pixels.get(pixels.grey, "image", 406, accept="text/html")
    pixels.get(pixels.grey, "image", 200, accept="text/html", format="jpeg")


def test_raw_samples_and_their_description(pixels: PixelRoutes) -> None:
    answer = pixels.get(pixels.grey, "raw")
    assert (answer.headers["X-Shape"], answer.headers["X-Dtype"]) == ("15,20", "<i2")
    assert answer.headers["X-Photometric-Interpretation"] == "MONOCHROME2"
    assert np.array_equal(np.frombuffer(answer.content, "<i2").reshape(15, 20), ARRAY)
    colour = pixels.get(pixels.colour, "raw", frame=2)
    assert colour.headers["X-Shape"] == "6,4,3"
    assert colour.content == pixels.frames[1].tobytes()


@pytest.mark.parametrize(("wanted", "dtype"), [("f32", "<f4"), ("f64", "<f8"), ("lum8", "|u1")])
def test_raw_formats(pixels: PixelRoutes, wanted: str, dtype: str) -> None:
    answer = pixels.get(pixels.grey, "raw", format=wanted)
    assert answer.headers["X-Dtype"] == dtype
    values = np.frombuffer(answer.content, dtype).reshape(15, 20)
    if wanted == "lum8":
        assert (values.min(), values.max()) == (0, 255)
    else:
        assert np.array_equal(values, ARRAY)


def test_raw_as_npy(pixels: PixelRoutes) -> None:
    assert np.array_equal(np.load(BytesIO(pixels.get(pixels.colour, "raw", format="npy").content)), pixels.frames[0])


@pytest.mark.parametrize("target", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"])
def test_the_file_in_another_transfer_syntax(pixels: PixelRoutes, target: str) -> None:
    answer = pixels.get(pixels.grey, "file", transfer_syntax=target)
    ds = dcmread(BytesIO(answer.content))
    assert ds.file_meta.TransferSyntaxUID == target
    assert np.array_equal(np.asarray(ds.WindowWidth, float), 100)
    part = pixels.client.get(
        f"/api/instances/{pixels.grey}/file", params={"transfer_syntax": target}, headers={"Range": "bytes=128-131"}
    )
    assert (part.status_code, part.content) == (206, b"DICM")


def test_edited_windows_are_shown(pixels: PixelRoutes) -> None:
    path = f"/api/instances/{pixels.grey}"
    assert pixels.client.put(path, json={"window_center": [50], "window_width": [200]}).status_code == 200
    try:
        assert np.array_equal(pixels.picture(pixels.grey), windowed(50, 200))
        ds = dcmread(BytesIO(pixels.get(pixels.grey, "file", transfer_syntax="1.2.840.10008.1.2.4.80").content))
        assert float(ds.WindowCenter) == 50
    finally:
        pixels.client.put(path, json={"window_center": [0], "window_width": [100]})


@pytest.mark.parametrize(
    ("what", "query", "field"),
    [
        ("image", {"frame": "0"}, "frame"),
        ("image", {"frame": "2"}, "frame"),
        ("image", {"frame": "one"}, "frame"),
        ("image", {"format": "tiff"}, "format"),
        ("image", {"format": ""}, "format"),
        ("image", {"format": ["png", "jpeg"]}, "format"),
        ("image", {"window_center": "1_0", "window_width": "5"}, "window_center"),
        ("image", {"window_center": "5", "window_width": "1e400"}, "window_width"),
        ("image", {"window_center": "5"}, "window_width"),
        ("image", {"window_center": "x", "window_width": "5"}, "window_center"),
        ("image", {"window_center": "nan", "window_width": "5"}, "window_center"),
        ("image", {"window_center": "5", "window_width": "0"}, "window_width"),
        ("image", {"width": "0"}, "width"),
        ("image", {"height": "0"}, "height"),
        ("raw", {"format": "png"}, "format"),
        ("raw", {"frame": "2"}, "frame"),
        ("file", {"transfer_syntax": "JPEG"}, "transfer_syntax"),
    ],
)
def test_what_is_wrong_is_named(pixels: PixelRoutes, what: str, query: dict[str, Any], field: str) -> None:
    assert pixels.get(pixels.grey, what, 422, **query).json()["field"] == field


def test_an_unknown_parameter_is_told_the_known(pixels: PixelRoutes) -> None:
    assert (
        "the parameters of this route are: format, frame"
        in pixels.get(pixels.grey, "raw", 422, window="1").json()["detail"]
    )


def test_what_an_instance_can_not_give(pixels: PixelRoutes) -> None:
    for what in ("image", "raw"):
        pixels.get(pixels.report, what, 406)
        pixels.get("1.2.3.4", what, 404)
        assert "ends before" in pixels.get(pixels.cut, what, 406).json()["detail"]
    pixels.get(pixels.grey, "file", 406, transfer_syntax="1.2.840.10008.1.2.4.100")
    pixels.get(pixels.report, "file", transfer_syntax="1.2.840.10008.1.2")


def test_many_at_once(pixels: PixelRoutes) -> None:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=pixels.client.base_url, timeout=60) as client:
            path = f"/api/instances/{pixels.grey}/image"
            return await asyncio.gather(*(client.get(path) for _ in range(40)))

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
