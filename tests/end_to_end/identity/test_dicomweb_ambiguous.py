"""DICOMweb paths where a UID names several entities: what decides is served, what doesn't is 409 with candidates."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.colliding import DIFFERENCES, LEVELS, CollidingInstance, collision, instance
from tests.support.dicomweb.paths import key_path, metadata, path_of, patient_id, retrieve_url, search
from tests.support.dicomweb.stow import items, part, related, store
from tests.support.dicomweb.web import dataset_of, parts_of
from tests.support.server import Server

DICOM = {"Accept": "application/dicom"}
FILES = {"Accept": 'multipart/related; type="application/dicom"'}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Iterator[Server]:
    """A server that allows DELETE at the DICOMweb base, on each catalog."""
    with Server(tmp_path_factory.mktemp("ambiguous"), "--dicomweb-delete", *options) as running:
        yield running


def stored(server: Server, kind: str, **elements: Any) -> tuple[CollidingInstance, CollidingInstance]:
    """Store both files of a pair in one request."""
    files = collision(*DIFFERENCES[kind], **elements).both
    answer = store(server, related(*(part(file.file) for file in files)))
    assert answer.status_code == 200, answer.text
    return files


def get(server: Server, path: str, **headers: str) -> httpx.Response:
    return server.client.get(f"/dicom-web{path}", headers=headers)


def patients(answer: httpx.Response) -> list[str]:
    """Patient IDs of files in a multipart answer."""
    assert answer.status_code == 200, answer.text
    return [dataset_of(content).PatientID for _, content in parts_of(answer)]


@pytest.mark.parametrize("tail", ["", "/metadata", "/rendered", "/thumbnail"])
def test_a_study_of_two_patients_as_a_whole_is_409(server: Server, tail: str) -> None:
    files = stored(server, "study")
    answer = get(server, f"/studies/{files[0].uid('study')}{tail}")
    assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous"), answer.text
    assert sorted(answer.json()["candidates"]) == sorted(file.key("study") for file in files)
    for file in files:
        assert get(server, f"/studies/{file.key('study')}{tail}").status_code == 200
    (match,) = search(server, "/studies", PatientID=patient_id(files[1]))
    assert get(server, f"/studies/{files[1].uid('study')}~00000000{tail}").status_code == 404
    assert retrieve_url(match).endswith(f"/studies/{files[1].key('study')}")


def test_what_decides_is_served(server: Server) -> None:
    """Below the study of two patients a series or instance of one of them, by UIDs alone; URLs have the study's key."""
    files = stored(server, "study")
    for file in files:
        series = f"/studies/{file.uid('study')}/series/{file.uid('series')}"
        assert patients(server.client.get(f"/dicom-web{series}", headers=FILES)) == [patient_id(file)]
        assert dataset_of(get(server, path_of(file), **DICOM).content) == dataset_of(file.file)
        for path in (series, path_of(file)):
            (found,) = metadata(server, path)
            assert found["00100020"]["Value"] == [patient_id(file)]
            assert found["0020000D"]["Value"] == [file.uid("study")], "UIDs stay UIDs"
            url = found["7FE00010"]["BulkDataURI"]
            place = f"/studies/{file.key('study')}/series/{file.uid('series')}/instances/{file.uid('instance')}/bulk/"
            assert place in url, "only what is ambiguous has its key"
            assert server.client.get(url).content == file.dataset.PixelData
        for tail in ("/rendered", "/thumbnail", "/frames/1", "/frames/1/rendered"):
            assert get(server, path_of(file) + tail).status_code == 200
        other = next(each for each in files if each is not file)
        assert get(server, f"/studies/{other.key('study')}/series/{file.uid('series')}/metadata").status_code == 404
        elsewhere = path_of(file).replace(file.uid("study"), other.key("study"))
        assert get(server, elsewhere).status_code == 404


@pytest.mark.parametrize("kind", ["series of two patients", "instance of two patients"])
def test_the_path_names_the_entity(server: Server, kind: str) -> None:
    """A series in two studies, and an instance in two series, are those of the path."""
    files = stored(server, kind)
    for file in files:
        assert dataset_of(get(server, path_of(file), **DICOM).content) == dataset_of(file.file)
        assert patients(server.client.get(f"/dicom-web/studies/{file.uid('study')}", headers=FILES)) == [
            patient_id(file)
        ]
        (match,) = search(server, f"/studies/{file.uid('study')}/instances")
        url = retrieve_url(match)
        assert url.count("~") == 1, "the study's UID, and another, name one entity"
        (found,) = metadata(server, url)
        assert found["00100020"]["Value"] == [patient_id(file)]
    mixed = f"/studies/{files[0].uid('study')}/series/{files[1].uid('series')}/instances/{files[1].uid('instance')}"
    assert get(server, mixed, **DICOM).status_code == 404


def test_everything_of_two_patients(server: Server) -> None:
    """No UID decides; each part of the path may."""
    files = stored(server, "study, series and instance")
    file = files[0]
    for path in (path_of(file), f"/studies/{file.uid('study')}/series/{file.uid('series')}"):
        answer = get(server, path)
        assert (answer.status_code, len(answer.json()["candidates"])) == (409, 2), answer.text
    for each in files:
        for decides in LEVELS:
            answer = get(server, path_of(each, decides), **DICOM)
            assert dataset_of(answer.content) == dataset_of(each.file), answer.text
    mixed = f"/studies/{files[0].key('study')}/series/{files[1].key('series')}"
    assert get(server, f"{mixed}/metadata").status_code == 404


def test_searches_below_a_study_of_two_patients_find_all(server: Server) -> None:
    files = stored(server, "study")
    for path in ("series", "instances"):
        found = search(server, f"/studies/{files[0].uid('study')}/{path}")
        assert sorted(retrieve_url(match).partition("/studies/")[2].partition("/")[0] for match in found) == sorted(
            file.key("study") for file in files
        )
        for file in files:
            (match,) = search(server, f"/studies/{file.key('study')}/{path}")
            assert match["0020000D"]["Value"] == [file.uid("study")]
            assert match["0020000E"]["Value"] == [file.uid("series")]
            (match,) = search(server, f"/studies/{file.uid('study')}/{path}", PatientID=patient_id(file))
            assert match["0020000E"]["Value"] == [file.uid("series")]
    (match,) = search(server, "/studies", StudyInstanceUID=files[0].key("study"))
    assert match["00100020"]["Value"] == [patient_id(files[0])]
    assert search(server, f"/studies/{files[0].key('study')}/series", StudyInstanceUID=files[1].key("study")) == []
    assert len(search(server, f"/studies/{files[0].uid('study')}/series", StudyInstanceUID=files[1].key("study"))) == 1


def test_wado_uri(server: Server) -> None:
    files = stored(server, "study, series and instance")
    query = {"requestType": "WADO", "contentType": "application/dicom", "objectUID": files[0].uid("instance")}
    answer = server.client.get("/wado", params=query)
    assert (answer.status_code, len(answer.json()["candidates"])) == (409, 2)
    for file in files:
        for name, key in (
            ("studyUID", file.key("study")),
            ("seriesUID", file.key("series")),
            ("objectUID", file.key("instance")),
        ):
            answer = server.client.get("/wado", params=query | {name: key})
            assert dataset_of(answer.content) == dataset_of(file.file), answer.text
    one, _ = stored(server, "instance of two patients")
    answer = server.client.get("/wado", params=query | {"studyUID": one.uid("study"), "objectUID": one.uid("instance")})
    assert dataset_of(answer.content) == dataset_of(one.file)


def test_delete_reaches_one_only(server: Server) -> None:
    files = stored(server, "study")
    path = f"/dicom-web/studies/{files[0].uid('study')}"
    assert server.client.delete(path).status_code == 409
    assert server.client.delete(f"/dicom-web/studies/{files[0].key('study')}").status_code == 204
    (match,) = search(server, "/studies", StudyInstanceUID=files[0].uid("study"))
    assert match["00100020"]["Value"] == [patient_id(files[1])]
    assert retrieve_url(match).endswith(f"/studies/{files[1].uid('study')}"), "the UID names one study again"
    assert get(server, f"/studies/{files[1].key('study')}/metadata").status_code == 200, "its key still names it"
    assert server.client.delete(path).status_code == 204
    first, second = stored(server, "study, series and instance")
    assert server.client.delete(f"/dicom-web{path_of(first)}").status_code == 409
    assert server.client.delete(f"/dicom-web{key_path(first)}").status_code == 204
    assert dataset_of(get(server, path_of(second), **DICOM).content) == dataset_of(second.file)


def test_store_into_a_study_by_its_key(server: Server) -> None:
    """With a key in the path the patient counts, too."""
    files = stored(server, "study")
    more = [instance(StudyInstanceUID=file.uid("study"), PatientID=patient_id(file)) for file in files]
    answer = store(server, related(*(part(each.file) for each in more)), files[0].key("study"))
    assert answer.status_code == 202, answer.text
    (failed,) = items(answer, "00081198")
    assert (failed["00081155"], failed["00081197"]) == (more[1].uid("instance"), 0xA901)
    assert len(search(server, f"/studies/{files[0].key('study')}/instances")) == 2
    assert store(server, related(part(more[1].file)), f"{files[0].uid('study')}~xyz").status_code == 400


def test_stow_answers_with_urls_that_work(server: Server) -> None:
    """An answer's URLs name one entity each, also where a later instance of the body made a UID ambiguous."""
    files = collision(*DIFFERENCES["study, series and instance"]).both
    answer = store(server, related(*(part(file.file) for file in files)))
    urls = [item["00081190"] for item in items(answer, "00081199")]
    assert [url.partition("/dicom-web")[2] for url in urls] == [key_path(file) for file in files]
    for url, file in zip(urls, files, strict=True):
        assert dataset_of(server.client.get(url, headers=DICOM).content) == dataset_of(file.file)
    one, _ = collision(*DIFFERENCES["study"]).both
    answer = store(server, related(part(one.file)))
    assert "~" not in answer.text
    assert answer.json()["00081190"]["Value"][0].endswith(f"/studies/{one.uid('study')}")
