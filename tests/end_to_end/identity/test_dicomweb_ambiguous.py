"""DICOMweb paths where a UID names several entities: what decides is served, what doesn't is 409 with candidates."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.conflicts import ConflictingFile, conflicting, metadata, retrieve_url, search
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


def stored(server: Server, kind: str, **elements: Any) -> tuple[ConflictingFile, ConflictingFile]:
    """Store both files of a pair in one request."""
    files = conflicting(kind, **elements)
    answer = store(server, related(*(part(file.content) for file in files)))
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
    files = stored(server, "study_of_two_patients")
    answer = get(server, f"/studies/{files[0].study}{tail}")
    assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous"), answer.text
    assert sorted(answer.json()["candidates"]) == sorted(file.place.study for file in files)
    for file in files:
        assert get(server, f"/studies/{file.place.study}{tail}").status_code == 200
    (match,) = search(server, "/studies", PatientID=files[1].patient)
    assert get(server, f"/studies/{files[1].study}~00000000{tail}").status_code == 404
    assert retrieve_url(match).endswith(f"/studies/{files[1].place.study}")


def test_what_decides_is_served(server: Server) -> None:
    """Below the study of two patients a series or instance of one of them, by UIDs alone; URLs have the study's key."""
    files = stored(server, "study_of_two_patients")
    for file in files:
        series = f"/studies/{file.study}/series/{file.series}"
        assert patients(server.client.get(f"/dicom-web{series}", headers=FILES)) == [file.patient]
        assert dataset_of(get(server, file.path, **DICOM).content) == file.dataset
        for path in (series, file.path):
            (found,) = metadata(server, path)
            assert found["00100020"]["Value"] == [file.patient]
            assert found["0020000D"]["Value"] == [file.study], "UIDs stay UIDs"
            url = found["7FE00010"]["BulkDataURI"]
            place = f"/studies/{file.place.study}/series/{file.series}/instances/{file.instance}/bulk/"
            assert place in url, "only what is ambiguous has its key"
            assert parts_of(server.client.get(url))[0][1] == file.dataset.PixelData
        for tail in ("/rendered", "/thumbnail", "/frames/1", "/frames/1/rendered"):
            assert get(server, file.path + tail).status_code == 200
        other = next(each for each in files if each is not file)
        assert get(server, f"/studies/{other.place.study}/series/{file.series}/metadata").status_code == 404
        assert (
            get(server, f"/studies/{other.place.study}{file.path.removeprefix(f'/studies/{file.study}')}").status_code
            == 404
        )


@pytest.mark.parametrize("kind", ["series_of_two_studies", "instance_of_two_series"])
def test_the_path_names_the_entity(server: Server, kind: str) -> None:
    """A series in two studies, and an instance in two series, are those of the path."""
    files = stored(server, kind)
    for file in files:
        assert dataset_of(get(server, file.path, **DICOM).content) == file.dataset
        assert patients(server.client.get(f"/dicom-web/studies/{file.study}", headers=FILES)) == [file.patient]
        (match,) = search(server, f"/studies/{file.study}/instances")
        url = retrieve_url(match)
        assert url.count("~") == 1, "the study's UID, and another, name one entity"
        (found,) = metadata(server, f"{url}/metadata")
        assert found["00100020"]["Value"] == [file.patient]
    mixed = f"/studies/{files[0].study}/series/{files[1].series}/instances/{files[1].instance}"
    assert get(server, mixed, **DICOM).status_code == 404


def test_everything_of_two_patients(server: Server) -> None:
    """No UID decides; each part of the path may."""
    files = stored(server, "everything_of_two_patients")
    file = files[0]
    for path in (file.path, f"/studies/{file.study}/series/{file.series}"):
        answer = get(server, path)
        assert (answer.status_code, len(answer.json()["candidates"])) == (409, 2), answer.text
    for each in files:
        uids, keys = each.path.split("/")[2::2], each.key_path.split("/")[2::2]
        for decides in range(3):
            study, series, instance = [
                key if n == decides else uid for n, (uid, key) in enumerate(zip(uids, keys, strict=True))
            ]
            answer = get(server, f"/studies/{study}/series/{series}/instances/{instance}", **DICOM)
            assert dataset_of(answer.content) == each.dataset, answer.text
    mixed = f"/studies/{files[0].place.study}/series/{files[1].place.series}"
    assert get(server, f"{mixed}/metadata").status_code == 404


def test_searches_below_a_study_of_two_patients_find_all(server: Server) -> None:
    files = stored(server, "study_of_two_patients")
    for path in ("series", "instances"):
        found = search(server, f"/studies/{files[0].study}/{path}")
        assert sorted(retrieve_url(match).partition("/studies/")[2].partition("/")[0] for match in found) == sorted(
            file.place.study for file in files
        )
        for file in files:
            (match,) = search(server, f"/studies/{file.place.study}/{path}")
            assert match["0020000D"]["Value"] == [file.study]
            assert match["0020000E"]["Value"] == [file.series]
            (match,) = search(server, f"/studies/{file.study}/{path}", PatientID=file.patient)
            assert match["0020000E"]["Value"] == [file.series]
    (match,) = search(server, "/studies", StudyInstanceUID=files[0].place.study)
    assert match["00100020"]["Value"] == [files[0].patient]
    assert search(server, f"/studies/{files[0].place.study}/series", StudyInstanceUID=files[1].place.study) == []
    assert len(search(server, f"/studies/{files[0].study}/series", StudyInstanceUID=files[1].place.study)) == 1


def test_wado_uri(server: Server) -> None:
    files = stored(server, "everything_of_two_patients")
    query = {"requestType": "WADO", "contentType": "application/dicom", "objectUID": files[0].instance}
    answer = server.client.get("/wado", params=query)
    assert (answer.status_code, len(answer.json()["candidates"])) == (409, 2)
    for file in files:
        for name, key in (
            ("studyUID", file.place.study),
            ("seriesUID", file.place.series),
            ("objectUID", file.place.instance),
        ):
            answer = server.client.get("/wado", params=query | {name: key})
            assert dataset_of(answer.content) == file.dataset, answer.text
    one, _ = stored(server, "instance_of_two_series")
    answer = server.client.get("/wado", params=query | {"studyUID": one.study, "objectUID": one.instance})
    assert dataset_of(answer.content) == one.dataset


def test_delete_reaches_one_only(server: Server) -> None:
    files = stored(server, "study_of_two_patients")
    path = f"/dicom-web/studies/{files[0].study}"
    assert server.client.delete(path).status_code == 409
    assert server.client.delete(f"/dicom-web/studies/{files[0].place.study}").status_code == 204
    (match,) = search(server, "/studies", StudyInstanceUID=files[0].study)
    assert match["00100020"]["Value"] == [files[1].patient]
    assert retrieve_url(match).endswith(f"/studies/{files[1].study}"), "the UID names one study again"
    assert get(server, f"/studies/{files[1].place.study}/metadata").status_code == 200, "its key still names it"
    assert server.client.delete(path).status_code == 204
    first, second = stored(server, "everything_of_two_patients")
    assert server.client.delete(f"/dicom-web{first.path}").status_code == 409
    assert server.client.delete(f"/dicom-web{first.key_path}").status_code == 204
    assert dataset_of(get(server, second.path, **DICOM).content) == second.dataset


def test_store_into_a_study_by_its_key(server: Server) -> None:
    """With a key in the path the patient counts, too."""
    files = stored(server, "study_of_two_patients")
    more = [
        conflicting("study_of_two_patients", StudyInstanceUID=file.study, PatientID=file.patient)[0] for file in files
    ]
    answer = store(server, related(*(part(each.content) for each in more)), files[0].place.study)
    assert answer.status_code == 202, answer.text
    (failed,) = items(answer, "00081198")
    assert (failed["00081155"], failed["00081197"]) == (more[1].instance, 0xA901)
    assert len(search(server, f"/studies/{files[0].place.study}/instances")) == 2
    assert store(server, related(part(more[1].content)), f"{files[0].study}~xyz").status_code == 400


def test_stow_answers_with_urls_that_work(server: Server) -> None:
    """An answer's URLs name one entity each, also where a later instance of the body made a UID ambiguous."""
    files = conflicting("everything_of_two_patients")
    answer = store(server, related(*(part(file.content) for file in files)))
    urls = [item["00081190"] for item in items(answer, "00081199")]
    assert [url.partition("/dicom-web")[2] for url in urls] == [file.key_path for file in files]
    for url, file in zip(urls, files, strict=True):
        assert dataset_of(server.client.get(url, headers=DICOM).content) == file.dataset
    one, _ = conflicting("study_of_two_patients")
    answer = store(server, related(part(one.content)))
    assert "~" not in answer.text
    assert answer.json()["00081190"]["Value"][0].endswith(f"/studies/{one.study}")
