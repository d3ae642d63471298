"""Datasets and the parts that hold their bulk data: by Content-Location, by order where several share one, or not."""

from typing import Any

import httpx
import orjson
import pytest
from pydicom.uid import generate_uid

from neurdicom.dicom.codec.native_xml import to_xml
from tests.support.dicomweb.stow import METADATA, failed, part, related, store, stored
from tests.support.dicomweb.web import Web, parts_of

SIZE = 64
J2K = "1.2.840.10008.1.2.4.90"


def dataset(uri: str = "b1", frames: int = 1, **more: Any) -> dict[str, Any]:
    numbers = {"0002": 1, "0010": 8, "0011": 8, "0100": 8, "0101": 8, "0102": 7, "0103": 0}
    return {
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7.2"]},
        "00080018": {"vr": "UI", "Value": [str(generate_uid())]},
        "0020000D": {"vr": "UI", "Value": [str(generate_uid())]},
        "0020000E": {"vr": "UI", "Value": [str(generate_uid())]},
        "00100020": {"vr": "LO", "Value": ["PAIR"]},
        **{f"0028{key}": {"vr": "US", "Value": [value]} for key, value in numbers.items()},
        "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
        "00280008": {"vr": "IS", "Value": [frames]},
        "7FE00010": {"vr": "OB", "BulkDataURI": uri},
        **{key.removeprefix("T"): element for key, element in more.items()},
    }


def path_of(one: dict[str, Any]) -> str:
    study, series, instance = (one[key]["Value"][0] for key in ("0020000D", "0020000E", "00080018"))
    return f"/studies/{study}/series/{series}/instances/{instance}"


def json_of(*datasets: dict[str, Any]) -> bytes:
    return part(orjson.dumps(datasets[0] if len(datasets) == 1 else datasets), Content_Type="application/dicom+json")


def bulk(value: int, location: str = "b1", size: int = SIZE, kind: str = "application/octet-stream") -> bytes:
    return part(bytes([value]) * size, Content_Type=kind, Content_Location=location)


def send(web: Web, *parts: bytes, kind: str = METADATA) -> httpx.Response:
    return store(web.server, related(*parts), content_type=kind)


def pixels(web: Web, one: dict[str, Any]) -> list[bytes]:
    answer = web.get(path_of(one) + "/frames", 'multipart/related; type="application/octet-stream"; transfer-syntax=*')
    return [content for _, content in parts_of(answer)]


def uid(one: dict[str, Any]) -> str:
    return str(one["00080018"]["Value"][0])


@pytest.mark.parametrize("layout", ["in turn", "datasets first", "in one part", "parts first", "xml"])
def test_parts_of_one_location_are_paired_by_order(web: Web, layout: str) -> None:
    a, b, c = dataset(), dataset(), dataset()
    values = [bulk(10), bulk(200), bulk(30)]
    parts = {
        "in turn": [json_of(a), values[0], json_of(b), values[1], json_of(c), values[2]],
        "datasets first": [json_of(a), json_of(b), json_of(c), *values],
        "in one part": [json_of(a, b, c), *values],
        "parts first": [*values, json_of(a, b, c)],
        "xml": [part(to_xml(one), Content_Type="application/dicom+xml") for one in (a, b, c)] + values,
    }[layout]
    answer = send(web, *parts, kind=METADATA.replace("json", "xml") if layout == "xml" else METADATA)
    assert (answer.status_code, len(stored(answer))) == (200, 3), answer.headers.get("Warning")
    assert [pixels(web, one)[0][:1] for one in (a, b, c)] == [b"\x0a", b"\xc8", b"\x1e"]
    for one in (a, b, c):
        assert len(web.get(path_of(one) + "/bulk/7FE00010").content) == SIZE


def test_frames_of_one_location_are_paired_by_their_number(web: Web) -> None:
    a, b = dataset(frames=2), dataset(frames=3)
    kind = f"image/jp2; transfer-syntax={J2K}"
    answer = send(web, json_of(a), json_of(b), *(bulk(value, kind=kind) for value in (1, 2, 3, 4, 5)))
    assert answer.status_code == 200, answer.headers.get("Warning")
    assert [[frame[0] for frame in pixels(web, one)] for one in (a, b)] == [[1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("before", "after"), [([10, 20], [200]), ([10], []), ([], [200]), ([10, 20], [30, 40]), ([10], [20, 30])]
)
def test_another_number_of_parts_than_needed_is_a_failure_of_all(web: Web, before: list[int], after: list[int]) -> None:
    a, b, other = dataset(), dataset(), dataset("b2")
    answer = send(web, json_of(a), *map(bulk, before), json_of(b), *map(bulk, after), json_of(other), bulk(7, "b2"))
    assert (answer.status_code, stored(answer)) == (202, [uid(other)])
    assert failed(answer) == {uid(a): 0xC000, uid(b): 0xC000}
    for one in (a, b):
        web.get(path_of(one) + "/metadata", status=404)


def test_frames_that_are_missing_are_a_failure(web: Web) -> None:
    a, b = dataset(frames=2), dataset(frames=2)
    kind = f"image/jp2; transfer-syntax={J2K}"
    answer = send(web, json_of(a), json_of(b), *(bulk(value, kind=kind) for value in (1, 2, 3)))
    assert failed(answer) == {uid(a): 0xC000, uid(b): 0xC000}


def test_locations_of_their_own_are_never_mixed(web: Web) -> None:
    a, b = dataset("x/1"), dataset("x/2")
    assert send(web, json_of(b, a), bulk(1, "x/1"), bulk(2, "x/2")).status_code == 200
    assert [pixels(web, one)[0][0] for one in (a, b)] == [1, 2]


def test_one_part_may_be_named_by_several_but_not_as_pixels_of_several(web: Web) -> None:
    profile = {"vr": "OB", "BulkDataURI": "profile"}
    a, b = dataset("x/1", T00282000=profile), dataset("x/2", T00282000=profile)
    answer = send(web, json_of(a, b), bulk(1, "x/1"), bulk(2, "x/2"), bulk(9, "profile", 2000))
    assert answer.status_code == 200, answer.headers.get("Warning")
    for one in (a, b):
        assert web.get(path_of(one) + "/bulk/00282000").content == bytes([9]) * 2000


def test_elements_of_one_dataset_share_a_location_in_the_order_of_tags(web: Web) -> None:
    item = {"00282000": {"vr": "OB", "BulkDataURI": "b1"}}
    one = dataset(T00282000={"vr": "OB", "BulkDataURI": "b1"}, T00081140={"vr": "SQ", "Value": [{}, item]})
    answer = send(web, json_of(one), bulk(1, size=2000), bulk(2, size=3000), bulk(3))
    assert answer.status_code == 200, answer.headers.get("Warning")
    assert web.get(path_of(one) + "/bulk/00081140/1/00282000").content == bytes([1]) * 2000
    assert web.get(path_of(one) + "/bulk/00282000").content == bytes([2]) * 3000
    assert pixels(web, one) == [bytes([3]) * SIZE]
