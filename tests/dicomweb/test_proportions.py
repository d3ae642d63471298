"""Pictures of a size have the proportions of what they show, where pixels are no squares."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.support.dicomweb.web import Web, parts_of

SIZE = 64
#: An image of as many rows as columns.
IMAGE = {"Rows": SIZE, "Columns": SIZE, "WindowCenter": 128, "WindowWidth": 256}


def size_of(content: bytes) -> tuple[int, int]:
    return Image.open(BytesIO(content)).size


def measures(spacing: list[float]) -> Dataset:
    group, item = Dataset(), Dataset()
    item.PixelSpacing = spacing
    group.PixelMeasuresSequence = Sequence([item])
    return group


def frame_pixels(spacing: list[float]) -> Dataset:
    group, item = Dataset(), Dataset()
    item.ImagerPixelSpacing = spacing
    group.FramePixelDataPropertiesSequence = Sequence([item])
    return group


TWICE_AS_HIGH: list[dict[str, Any]] = [
    {"PixelAspectRatio": ["2", "1"]},
    {"PixelAspectRatio": ["100", "50"]},
    {"PixelSpacing": [1.5, 0.75]},
    {"ImagerPixelSpacing": [0.4, 0.2]},
    {"NominalScannedPixelSpacing": [0.4, 0.2]},
    {"PixelSpacing": [1.5, 0.75], "PixelAspectRatio": ["1", "1"]},
    {"PixelSpacing": [2, 1], "ImagerPixelSpacing": [0.2, 0.2]},
    {"PixelSpacing": [0, 0], "PixelAspectRatio": ["2", "1"]},
    {"PixelSpacing": [1], "PixelAspectRatio": ["2", "1"]},
    {"SharedFunctionalGroupsSequence": Sequence([measures([2, 1])])},
    {"SharedFunctionalGroupsSequence": Sequence([frame_pixels([2, 1])])},
    {
        "SharedFunctionalGroupsSequence": Sequence([measures([1, 2])]),
        "PerFrameFunctionalGroupsSequence": Sequence([measures([0.5, 0.25])]),
    },
]
SQUARE: list[dict[str, Any]] = [
    {},
    {"PixelAspectRatio": ["1", "1"]},
    {"PixelAspectRatio": ["0", "1"]},
    {"PixelAspectRatio": ["-2", "1"]},
    {"PixelAspectRatio": ["1000", "1"]},
    {"PixelSpacing": [0.4883, 0.4882]},
    {"PixelSpacing": [1, 1], "PixelAspectRatio": ["2", "1"]},
]


@pytest.mark.parametrize("elements", TWICE_AS_HIGH, ids=lambda elements: "+".join(elements))
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_twice_as_high_as_wide(web: Web, elements: dict[str, Any], colour: bool) -> None:
    samples = 3 if colour else 1
    kind = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"} if colour else {}
    path = web.make(**IMAGE, **kind, **elements, PixelData=bytes(SIZE * SIZE * samples))
    _, _, study, _, series, _, instance = path.split("/")
    levels = (f"/studies/{study}", f"/studies/{study}/series/{series}", path, f"{path}/frames/1")
    for level in levels:
        assert size_of(web.get(f"{level}/rendered?viewport=100,200").content) == (100, 200)
        assert size_of(web.get(f"{level}/rendered?viewport=100,100").content) == (50, 100)
        assert size_of(web.get(f"{level}/thumbnail?viewport=300,80").content) == (40, 80)
        assert size_of(web.get(f"{level}/thumbnail").content) == (SIZE, 2 * SIZE)
        assert size_of(web.get(f"{level}/rendered").content) == (SIZE, SIZE)
    assert size_of(web.get(f"{path}/rendered?viewport=100,100,0,0,32,16").content) == (100, 100)
    api = f"/api/instances/{instance}/image"
    for query, expected in (("width=50", (50, 100)), ("height=50", (25, 50)), ("width=50&height=50", (25, 50))):
        assert size_of(web.client.get(f"{api}?{query}").content) == expected
    wado = f"/wado?requestType=WADO&objectUID={instance}"
    for query, expected in (("columns=50", (50, 100)), ("rows=50", (25, 50)), ("rows=50&columns=90", (25, 50))):
        assert size_of(web.client.get(f"{wado}&{query}").content) == expected


@pytest.mark.parametrize("elements", SQUARE, ids=lambda elements: "+".join(elements) or "nothing")
def test_squares(web: Web, elements: dict[str, Any]) -> None:
    path = web.make(**IMAGE, **elements, PixelData=bytes(SIZE * SIZE))
    assert size_of(web.get(f"{path}/rendered?viewport=300,200").content) == (200, 200)
    assert size_of(web.get(f"{path}/thumbnail").content) == (SIZE, SIZE)


def test_wide_pixels(web: Web) -> None:
    path = web.make(**IMAGE, PixelAspectRatio=["1", "4"], PixelData=bytes(SIZE * SIZE))
    assert size_of(web.get(f"{path}/rendered?viewport=100,200").content) == (100, 25)
    assert size_of(web.get(f"{path}/thumbnail").content) == (200, 50)


def test_a_disc_is_round(web: Web) -> None:
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    disc = (((y - 32) * 2) ** 2 + (x - 32) ** 2 < 24**2) * np.uint8(255)
    path = web.make(**IMAGE, PixelAspectRatio=["2", "1"], PixelData=disc.astype("u1").tobytes())
    shown = np.asarray(Image.open(BytesIO(web.get(f"{path}/rendered?viewport=400,400", "image/png").content))) > 127
    high, wide = (int(shown.any(axis=axis).sum()) for axis in (1, 0))
    assert abs(high - wide) <= 8


def test_each_frame_has_its_own_proportions(web: Web) -> None:
    path = web.make(
        **IMAGE,
        NumberOfFrames=2,
        PixelData=bytes(2 * SIZE * SIZE),
        PerFrameFunctionalGroupsSequence=Sequence([measures([1, 1]), measures([1, 2])]),
    )
    found = parts_of(web.get(f"{path}/frames/1,2/rendered?viewport=100,100"))
    assert [size_of(content) for _, content in found] == [(100, 100), (100, 50)]
