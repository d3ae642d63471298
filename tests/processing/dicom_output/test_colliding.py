"""Results of entities with one UID, stored in DICOM: each lies in the study, and with the patient, of its source."""

from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.support.colliding import CollidingInstance, Collision, collision, instance
from tests.support.dicom_output import BODY, LABELS, MEASUREMENTS, SEGMENTATION, DerivedSite
from tests.support.results import ids

#: Kinds of output: the plugin's lines, META.json, and the modality of the object.
KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "capture": ("return ds.pixel_array", {}, "OT"),
    "report": (BODY, {"result": MEASUREMENTS}, "SR"),
    "segmentation": (LABELS, {"result": SEGMENTATION}, "SEG"),
    "dataset": (
        "new = Dataset()\nnew.SOPClassUID = '1.2.840.10008.5.1.4.1.1.66'\nnew.Modality = 'REG'\nreturn new",
        {},
        "REG",
    ),
}


def stored(site: DerivedSite, one: CollidingInstance, **params: Any) -> tuple[str, Dataset]:
    """Store the result of an instance; the id of the object, and its dataset."""
    answer = site.run(one.key("instance"), store="true", **params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Stored-Count"] == "1"
    made = answer.headers["X-Stored-Instances"]
    assert site.client.get(answer.headers["Location"]).json()["id"] == made
    return made, dcmread(site.file(made))


def upload_both(site: DerivedSite, made: Collision) -> None:
    for one in made.both:
        site.upload(one.file)
        site.uploaded[-1] = one.key("study")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("different", [("PatientID",), ("StudyInstanceUID",)], ids=["two patients", "two studies"])
def test_each_in_the_study_of_its_source(site: DerivedSite, kind: str, different: tuple[str, ...]) -> None:
    body, meta, modality = KINDS[kind]
    made = collision(*different)
    upload_both(site, made)
    site.plugin(body, **meta)
    derived = [stored(site, one) for one in made.both]
    for one, (id, ds) in zip(made.both, derived, strict=True):
        assert (ds.PatientID, str(ds.PatientName)) == (one.dataset.PatientID, str(one.dataset.PatientName))
        assert (ds.StudyInstanceUID, ds.Modality) == (one.uid("study"), modality)
        entity = site.client.get(f"/api/instances/{id}").json()
        assert (entity["patient"], entity["study"]) == (one.patient, made.id(one, "study"))
        assert site.client.get(f"/api/studies/{one.key('study')}").json()["images_count"] == 2
        assert stored(site, one)[0] == id, "the same result again stores nothing new"
        (result,) = ids(site.client.get("/api/results", params={"stored": entity["key"]}))
        shown = site.client.get(f"/api/results/{result}").json()
        assert (shown["stored"], shown["stored_uids"]) == ([id], [str(ds.SOPInstanceUID)])
        assert shown["instances"] == [made.id(one, "instance")]
        if kind in ("report", "segmentation"):
            assert one.uid("instance") in str(ds)
        assert "~" not in str(ds)
    (first, ds), (second, other) = derived
    assert first != second
    assert ds.SeriesInstanceUID != other.SeriesInstanceUID
    listed = {each["uid"] for each in site.client.get("/api/conflicts", params={"limit": 1000}).json()}
    own = {str(each[keyword].value) for each in (ds, other) for keyword in ("SeriesInstanceUID", "SOPInstanceUID")}
    assert made.first.uid(made.shared[0]) in listed
    assert not own & listed, "there is no conflict of our own making"
    assert site.client.delete(f"/api/studies/{made.first.key('study')}?derived=true").status_code == 204
    assert site.client.get(f"/api/instances/{second}").status_code == 200


def test_of_a_file_that_does_not_say_whose_it_is(site: DerivedSite) -> None:
    """The source has no Patient ID; others of its study have, and so does another patient's study of that UID."""
    named = instance(PatientID="NAMED")
    unnamed = instance(PatientID=None, StudyInstanceUID=named.uid("study"))
    other = instance(PatientID="OTHER", StudyInstanceUID=named.uid("study"))
    for one in (named, unnamed, other):
        site.upload(one.file)
    site.uploaded[:] = [named.key("study"), other.key("study")]
    site.plugin(BODY, result=MEASUREMENTS)
    answer = site.run(unnamed.uid("instance"), store="true")
    assert answer.status_code == 200, answer.text
    entity = site.client.get(answer.headers["Location"]).json()
    assert (entity["patient"], entity["study"]) == (named.patient, named.key("study"))
    assert site.client.get(f"/api/studies/{named.key('study')}").json()["images_count"] == 3
    assert site.client.get(f"/api/studies/{other.key('study')}").json()["images_count"] == 1
    assert not site.dataset(entity["id"]).PatientID


def test_a_dataset_with_the_same_uids_for_both(site: DerivedSite) -> None:
    """A plugin that derives its UIDs from those of the source gives them to both, which is no new conflict."""
    made = collision("PatientID")
    upload_both(site, made)
    site.plugin(
        "new = Dataset()\nnew.SOPClassUID = '1.2.840.10008.5.1.4.1.1.66'\nnew.Modality = 'REG'\n"
        "new.SeriesInstanceUID = ds.SeriesInstanceUID[:50] + '.1'\nnew.SOPInstanceUID = ds.SOPInstanceUID[:50] + '.2'\n"
        "return new"
    )
    places = [site.client.get(f"/api/instances/{stored(site, one)[0]}").json() for one in made.both]
    assert [each["study"] for each in places] == [one.key("study") for one in made.both]
    assert len({each["sop_instance_uid"] for each in places}) == 1
    assert len({each["id"] for each in places}) == 2


def test_what_was_made_goes_with_its_tool(site: DerivedSite) -> None:
    made = collision("PatientID")
    upload_both(site, made)
    site.plugin(BODY, result=MEASUREMENTS)
    for one in made.both:
        stored(site, one)
    assert site.client.delete("/api/plugins/test.derived?derived=true").status_code == 204
    for one in made.both:
        assert site.client.get(f"/api/studies/{one.key('study')}").json()["images_count"] == 1
