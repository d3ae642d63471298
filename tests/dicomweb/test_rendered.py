"""Rendered resources and thumbnails at every level, and WADO-URI."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from tests.support.dicomweb.web import StoredFile, Web, dataset_of, parts_of
from tests.support.files import dicom_file

PDF = b"%PDF-1.4\n" + b"x" * 5000 + b"\n%%EOF\n"


def picture(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


@pytest.fixture
def series(web: Web) -> tuple[str, list[str]]:
    """A series of five slices of 8 x 16 pixels, each of one grey value, darkest first."""
    shared: dict[str, Any] = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    paths = [
        web.make(
            **shared,
            Rows=8,
            Columns=16,
            InstanceNumber=number,
            WindowCenter=128,
            WindowWidth=256,
            PixelData=bytes([10 + 50 * number] * 128),
        )
        for number in range(5)
    ]
    return paths[0].rsplit("/instances/", 1)[0], paths


def test_every_level_has_a_picture(web: Web, series: tuple[str, list[str]]) -> None:
    path, paths = series
    shades = {path: 110, path.split("/series/")[0]: 110, paths[4]: 210, f"{paths[0]}/frames/1": 10}
    for each, shade in shades.items():
        answer = web.get(each + "/rendered")
        assert answer.headers["Content-Type"] == "image/jpeg"
        found = picture(answer.content)
        assert (found.format, found.size) == ("JPEG", (16, 8))
        assert abs(np.asarray(found).mean() - shade) < 2
        assert picture(web.get(each + "/thumbnail").content).size == (16, 8)  # small ones are not enlarged
        assert picture(web.get(each + "/thumbnail?viewport=64,64").content).size == (64, 32)


@pytest.mark.parametrize(
    ("accept", "form"),
    [("image/png", "PNG"), ("image/jpeg", "JPEG"), ("image/*", "JPEG"), ("image/webp;q=0.9, image/gif", "WEBP")],
)
def test_media_types(web: Web, series: tuple[str, list[str]], accept: str, form: str) -> None:
    answer = web.get(series[1][0] + "/rendered", accept)
    assert picture(answer.content).format == form
    ((fields, content),) = (
        parts_of(web.get(series[1][0] + "/rendered", f'multipart/related; type="{accept}"'))
        if (form == "PNG")
        else (({"content-type": answer.headers["Content-Type"]}, answer.content),)
    )
    assert picture(content).format == form
    assert fields["content-type"] == f"image/{form.lower()}"
    assert web.get(series[1][0] + f"/rendered?accept={accept.split(';')[0]}").content == answer.content


def test_the_default_viewport_of_a_thumbnail(web: Web) -> None:
    path = web.make(Rows=600, Columns=1000, PixelData=bytes(600_000))
    assert picture(web.get(path + "/thumbnail").content).size == (200, 120)
    assert picture(web.get(path + "/rendered").content).size == (1000, 600)


def test_viewport_window_and_quality(web: Web) -> None:
    ramp = np.tile(np.arange(256, dtype="u1"), (128, 1))
    path = web.make(Rows=128, Columns=256, PixelData=ramp.tobytes(), WindowCenter=128, WindowWidth=256)

    def shades(query: str) -> np.ndarray:
        return np.asarray(picture(web.get(f"{path}/rendered?{query}", "image/png").content)).astype(int)

    assert np.array_equal(shades(""), ramp)
    assert shades("viewport=64,64").shape == (32, 64)
    assert np.array_equal(shades("viewport=16,16,100,10,16,16"), ramp[10:26, 100:116])
    assert np.array_equal(shades("viewport=16,16,100,10,-16,16"), ramp[10:26, 100:116][:, ::-1])
    assert np.array_equal(shades("viewport=256,128,,,,-128"), ramp[::-1])
    steep = shades("window=128,2,linear-exact")[0]
    assert (steep[:127] == 0).all() and (steep[130:] == 255).all()
    sigmoid = shades("window=128,64,sigmoid")[0]
    assert sigmoid[128] in (127, 128) and sigmoid[128 + 16] == pytest.approx(255 / (1 + np.exp(-1)), abs=1)
    small, fine = (len(web.get(f"{path}/rendered?quality={quality}").content) for quality in (5, 95))
    assert small < fine


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("annotation=patient", 400),
        ("quality=0", 400),
        ("quality=101", 400),
        ("quality=x", 400),
        ("window=1", 400),
        ("window=a,b", 400),
        ("window=1,0,linear", 400),
        ("window=1,2,cubic", 400),
        ("window=nan,1", 400),
        ("viewport=1", 400),
        ("viewport=0,10", 400),
        ("viewport=20000,10", 400),
        ("viewport=10,10,500,500,1,1", 400),
        ("viewport=10,10,0,0,0,5", 400),
        ("viewport=1e400,1", 400),
        ("window=1,2&window=3,4", 400),
        ("iccprofile=yes&unknown=1", 200),
    ],
)
def test_wrong_parameters(web: Web, series: tuple[str, list[str]], query: str, status: int) -> None:
    for name in ("rendered", "thumbnail"):
        answer = web.get(f"{series[1][0]}/{name}?{query}", status=status)
        assert status == 200 or answer.json()["detail"]


def test_frames_and_what_has_none(web: Web) -> None:
    frames = b"".join(bytes([40 * number] * 16) for number in range(1, 6))
    path = web.make(NumberOfFrames=5, PixelData=frames, WindowCenter=128, WindowWidth=256)
    found = parts_of(web.get(path + "/frames/2,4/rendered"))
    assert [round(np.asarray(picture(content)).mean(), -1) for _, content in found] == [80, 160]
    assert np.asarray(picture(web.get(path + "/thumbnail").content)).mean() == pytest.approx(120, abs=2)
    web.get(path + "/frames/6/rendered", status=404)
    web.get(path + "/frames/x/thumbnail", status=400)
    report = web.make(PixelData=None)
    for each in (report, report.rsplit("/instances/", 1)[0], report.split("/series/")[0]):
        for name in ("rendered", "thumbnail"):
            web.get(f"{each}/{name}", status=406)
            web.get(f"{each}.9/{name}", status=404)


def test_a_document_comes_as_it_is(web: Web) -> None:
    path = web.make(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", PixelData=None, EncapsulatedDocument=PDF,
        MIMETypeOfEncapsulatedDocument="application/pdf",
    )  # fmt: skip
    answer = web.get(path + "/rendered")
    assert (answer.headers["Content-Type"], answer.content.rstrip(b"\0")) == ("application/pdf", PDF)
    assert web.get(path + "/rendered", headers={"Range": "bytes=0-3"}, status=206).content == b"%PDF"
    web.get(path + "/rendered", "image/jpeg", status=406)
    web.get(path + "/thumbnail", status=406)


def test_validators(web: Web, series: tuple[str, list[str]]) -> None:
    path = series[1][0]
    first = web.get(path + "/rendered")
    web.get(path + "/rendered", headers={"If-None-Match": first.headers["ETag"]}, status=304)
    assert web.get(path + "/rendered?quality=5").headers["ETag"] != first.headers["ETag"]
    instance = path.rsplit("/", 1)[1]
    edited = web.client.put(f"/api/instances/{instance}", json={"window_center": [500], "window_width": [10]})
    assert edited.status_code == 200
    after = web.get(path + "/rendered", headers={"If-None-Match": first.headers["ETag"]})
    assert np.asarray(picture(after.content)).max() < 5
    web.get(path + "/rendered", headers={"If-None-Match": after.headers["ETag"]}, status=304)


def test_pictures_of_the_data_set_are_as_large_as_the_pixels_say(web: Web, stored_files: list[StoredFile]) -> None:
    shown = 0
    for stored in stored_files[::4]:
        answer = web.client.get(f"/dicom-web{stored.path}/rendered")
        if answer.status_code == 200 and answer.headers["Content-Type"] == "image/jpeg":
            (dataset,) = web.get(stored.path + "/metadata").json()
            size = dataset["00280011"]["Value"][0], dataset["00280010"]["Value"][0]
            assert picture(answer.content).size == size
            shown += 1
        else:
            assert answer.status_code in (200, 406)
    assert shown > 30


# -- WADO-URI ------------------------------------------------------------------------------------------------


def wado(web: Web, status: int = 200, base: str = "/wado", **parameters: str) -> Any:
    answer = web.client.get(base, params={"requestType": "WADO", **parameters})
    assert answer.status_code == status, answer.text[:500]
    return answer


@pytest.mark.parametrize("base", ["/wado", "/dicom-web/wado"])
def test_wado_uri(web: Web, series: tuple[str, list[str]], base: str) -> None:
    _, _, study, _, series_uid, _, instance = series[1][2].split("/")
    uids: dict[str, Any] = {"studyUID": study, "seriesUID": series_uid, "objectUID": instance}
    answer = wado(web, base=base, **uids)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert np.asarray(picture(answer.content)).mean() == pytest.approx(110, abs=2)
    more: dict[str, Any] = {
        "contentType": "image/png",
        "rows": "4",
        "columns": "100",
        "charset": "UTF-8",
        "unknown": "1",
    }
    assert picture(wado(web, base=base, **uids, **more).content).size == (8, 4)
    assert picture(wado(web, base=base, objectUID=instance, region="0,0,0.5,1").content).size == (8, 8)
    dark = wado(web, base=base, **uids, windowCenter="1000", windowWidth="10", imageQuality="50", frameNumber="1")
    assert np.asarray(picture(dark.content)).max() < 3
    file = wado(web, base=base, **uids, contentType="application/dicom")
    assert dataset_of(file.content).SOPInstanceUID == instance
    file = wado(web, base=base, **uids, contentType="application/dicom", transferSyntax="*")
    assert dataset_of(file.content).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    syntax = "1.2.840.10008.1.2.4.90"
    file = wado(web, base=base, **uids, contentType="application/dicom", transferSyntax=syntax)
    assert dataset_of(file.content).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"requestType": "WAD"}, 400),
        ({"objectUID": ""}, 400),
        ({"objectUID": "1.2.3"}, 404),
        ({"studyUID": "1.2.3"}, 404),
        ({"seriesUID": "1.2.3"}, 404),
        ({"contentType": "text/html"}, 406),
        ({"frameNumber": "2"}, 404),
        ({"frameNumber": "x"}, 400),
        ({"rows": "0"}, 400),
        ({"columns": "x"}, 400),
        ({"windowCenter": "1"}, 400),
        ({"windowCenter": "1", "windowWidth": "-1"}, 400),
        ({"region": "0,0,2,1"}, 400),
        ({"imageQuality": "0"}, 400),
        ({"anonymize": "yes"}, 400),
        ({"annotation": "patient"}, 400),
        ({"presentationUID": "1.2.3"}, 400),
        ({"contentType": "application/dicom", "transferSyntax": "x"}, 400),
        ({"contentType": "application/dicom", "transferSyntax": "1.2.3"}, 406),
    ],
)
def test_wado_uri_refuses(web: Web, series: tuple[str, list[str]], parameters: dict[str, str], status: int) -> None:
    instance = series[1][0].rsplit("/", 1)[1]
    answer = wado(web, status, **{"objectUID": instance, **parameters})
    assert answer.json()["detail"]


def test_wado_uri_of_what_has_no_pixels(web: Web) -> None:
    instance = web.store(dicom_file(study=95, PixelData=None)).rsplit("/", 1)[1]
    assert wado(web, objectUID=instance).headers["Content-Type"] == "application/dicom"
    wado(web, 406, objectUID=instance, contentType="image/jpeg")
