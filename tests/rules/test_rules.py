"""Rules on a server: what sets them off, and what does not."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from tests.support.dimse.remotes import associated
from tests.support.files import dicom_file
from tests.support.rules import PLUGIN, RulesClient, uid
from tests.support.server import Server


def test_a_stable_series_is_run_once_with_all_its_instances(here: RulesClient, note: Path) -> None:
    rule = here.rule({"modality": "OT"}, action={"plugin": PLUGIN, "params": {"note": str(note)}}, name="All OT")
    here.store(*(dicom_file(number) for number in range(1, 6)))
    series = f"/api/series/{uid(1).rpartition('.')[0]}"
    assert here.http.get(series).json()["is_stable"] is False
    told = here.ran(rule)
    here.wait_until_idle()
    assert here.http.get(series).json()["is_stable"] is True
    assert sorted(note.read_text().split()) == [uid(number) for number in range(1, 6)]
    assert (told["name"], told["runs_count"], told["problem"]) == ("All OT", 1, None)
    (run,) = told["runs"]
    assert (run["series"], run["state"], run["done"], run["failed"]) == (uid(1).rpartition(".")[0], "done", 5, 0)
    job = here.http.get(f"/api/jobs/{run['job']}").json()
    assert (job["kind"], job["request"]["rule"], job["request"]["plugin"]) == ("process", rule, PLUGIN)


def test_it_does_not_matter_how_it_came(here: RulesClient, ruled: Server, note: Path) -> None:
    rule = here.rule({"modality": "OT"}, action={"plugin": PLUGIN, "params": {"note": str(note)}})
    with associated(ruled, SecondaryCaptureImageStorage) as assoc:
        assert assoc.send_c_store(dcmread(io.BytesIO(dicom_file(1, series=1)))).Status == 0
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.dcm", dicom_file(1, series=2))
    zipped = {"Content-Type": "application/zip"}
    assert here.http.post("/api/instances", content=archive.getvalue(), headers=zipped).status_code == 201
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + dicom_file(1, series=3) + b"\r\n--b--"
    related = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    assert here.http.post("/dicom-web/studies", content=body, headers=related).status_code == 200
    here.ran(rule, 3)
    assert sorted(note.read_text().split()) == [uid(1, series=series) for series in (1, 2, 3)]


def test_more_instances_make_it_run_again_and_duplicates_do_not(here: RulesClient, note: Path) -> None:
    rule = here.rule({}, action={"plugin": PLUGIN, "params": {"note": str(note)}, "cache": False})
    here.store(dicom_file(1))
    here.ran(rule)
    here.store(dicom_file(2))
    here.ran(rule, 2)
    here.store(dicom_file(1), dicom_file(2))
    here.wait_until_idle()
    told = here.get(rule)
    mine = [run for run in told["runs"] if ".9.1." in run["series"]]
    assert len(mine) == 2
    assert sorted(note.read_text().split()).count(uid(2)) == 1
    here.store(dicom_file(1, PatientComments="replaced"))
    here.when(rule, lambda now: sum(".9.1." in run["series"] for run in now["runs"]) == 3)


@pytest.mark.parametrize(
    ("conditions", "elements"),
    [
        ({"modality": "mr", "body_part_examined": "BRAIN"}, {"Modality": "MR", "BodyPartExamined": "BRAIN"}),
        ({"modality": ["CT", "MR"]}, {"Modality": "MR"}),
        ({"series_description": "t1*sag?"}, {"SeriesDescription": "T1 MPRAGE sagi"}),
        ({"patient_name": "müller*"}, {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "MÜLLER^JÜRGEN"}),
        (
            {"patient_name": "山田*"},
            {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
        ),
        ({"study_description": "Голова"}, {"SpecificCharacterSet": "ISO_IR 144", "StudyDescription": "ГОЛОВА"}),
        ({"study_date": "20240101-20241231"}, {"StudyDate": "20240506"}),
        ({"image_type": "PRIMARY"}, {"ImageType": ["ORIGINAL", "PRIMARY"]}),
        ({"rows": 4}, {}),
    ],
)
def test_conditions(here: RulesClient, conditions: dict[str, Any], elements: dict[str, Any]) -> None:
    rule = here.rule(conditions)
    assert here.get(rule)["conditions"] == {
        name: str(value) if isinstance(value, int) else value for name, value in conditions.items()
    }
    other = here.rule({**conditions, "patient_id": "NOBODY"})
    here.store(dicom_file(1, **elements), dicom_file(1, study=2, Modality="XX", Rows=5, patient="P2"))
    told = here.ran(rule)
    assert [run["series"] for run in told["runs"]] == [uid(1).rpartition(".")[0]]
    assert here.get(other)["runs_count"] == 0


def test_two_rules(here: RulesClient, note: Path) -> None:
    both = [
        here.rule({"modality": "OT"}, action={"plugin": PLUGIN, "params": {"note": str(note), "number": number}})
        for number in (2, 3)
    ]
    off = here.rule({"modality": "OT"}, enabled=False)
    here.store(dicom_file(1))
    for rule in both:
        assert here.ran(rule)["runs_count"] == 1
    assert here.get(off)["runs_count"] == 0
    assert note.read_text().split() == [uid(1), uid(1)]
    assert [rule["id"] for rule in here.http.get("/api/rules").json()] == [*both, off]


def test_rules_that_change_while_a_series_grows(here: RulesClient, note: Path) -> None:
    action = {"plugin": PLUGIN, "params": {"note": str(note)}}
    changed, deleted = here.rule({"modality": "OT"}, action=action), here.rule({"modality": "OT"}, action=action)
    here.store(dicom_file(1))
    later = here.rule({"modality": "OT"}, action=action)
    assert here.http.delete(f"/api/rules/{deleted}").status_code == 204
    body = {"conditions": {"modality": "MR"}, "action": action}
    assert here.http.put(f"/api/rules/{changed}", json=body).json()["conditions"] == {"modality": "MR"}
    here.ran(later)
    assert here.get(changed)["runs_count"] == 0
    assert note.read_text().split() == [uid(1)]
    assert here.http.get(f"/api/rules/{deleted}").status_code == 404
    assert here.http.delete(f"/api/rules/{deleted}").status_code == 404


def test_a_series_that_is_deleted_before_it_is_stable(here: RulesClient) -> None:
    rule = here.rule({"modality": "OT"})
    here.store(dicom_file(1))
    assert here.http.delete(f"/api/series/{uid(1).rpartition('.')[0]}").status_code == 204
    here.wait_until_idle()
    assert [run for run in here.get(rule)["runs"] if ".9.1." in run["series"]] == []


def test_what_a_rule_stores_sets_off_none(here: RulesClient) -> None:
    here.install("class Plugin:\n    def process(self, ds=None, **kw):\n        return ds.pixel_array * 2.0\n")
    rule = here.rule({}, action={"plugin": PLUGIN, "store": True})
    here.store(dicom_file(1, Modality="MR"))
    here.ran(rule)
    here.wait_until_idle()
    told = here.ran(rule, 2)
    assert len([run for run in told["runs"] if ".9.1." in run["series"]]) == 1
    assert told["runs_count"] == 2, "the other is that of `wait_until_idle`"
    series = here.http.get("/api/series", params={"study_instance_uid": "1.2.826.0.1.3680043.10.1595.9.1"}).json()
    assert len(series) == 2, "the result was stored"


def test_a_plugin_that_goes_makes_the_rule_say_so(here: RulesClient) -> None:
    rule = here.rule({"modality": "OT"}, action={"plugin": PLUGIN, "params": {"number": 5}})
    assert here.http.delete(f"/api/plugins/{PLUGIN}").status_code == 204
    assert PLUGIN in here.get(rule)["problem"]
    assert PLUGIN in here.http.get("/api/rules").json()[0]["problem"]
    here.store(dicom_file(1))
    (run,) = here.ran(rule)["runs"]
    assert (run["state"], run["job"]) == ("failed", None)
    assert PLUGIN in run["error"]
    here.install(params={"number": {"type": "int", "range": [0, 3], "default": 0}})
    assert "number" in here.get(rule)["problem"]
    here.install()
    assert here.get(rule)["problem"] is None
    here.store(dicom_file(2))
    assert here.ran(rule, 2)["runs"][0]["state"] == "done"


def test_a_plugin_that_fails(here: RulesClient) -> None:
    here.install("class Plugin:\n    def process(self, ds=None, **kw):\n        raise ValueError('no brain')\n")
    rule = here.rule({"modality": "OT"})
    here.store(dicom_file(1))
    (run,) = here.ran(rule)["runs"]
    assert (run["state"], run["failed"]) == ("failed", 1)
    assert "no brain" in run["error"]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({}, "conditions"),
        ({"conditions": {}}, "action"),
        ({"conditions": [], "action": {"plugin": PLUGIN}}, "conditions"),
        ({"conditions": {"no_such": "x"}, "action": {"plugin": PLUGIN}}, "conditions.no_such"),
        ({"conditions": {"modality": ""}, "action": {"plugin": PLUGIN}}, "conditions.modality"),
        ({"conditions": {"study_date": "soon"}, "action": {"plugin": PLUGIN}}, "conditions.study_date"),
        ({"conditions": {"modality": {"a": 1}}, "action": {"plugin": PLUGIN}}, "conditions.modality"),
        ({"conditions": {}, "action": {}}, "action.plugin"),
        ({"conditions": {}, "action": {"plugin": "none.such"}}, "action.plugin"),
        ({"conditions": {}, "action": {"model": "none.such"}}, "action.model"),
        ({"conditions": {}, "action": {"plugin": PLUGIN, "model": "x"}}, "action.plugin"),
        ({"conditions": {}, "action": {"plugin": PLUGIN, "params": {"number": 10}}}, "action.number"),
        ({"conditions": {}, "action": {"plugin": PLUGIN, "params": {"other": 1}}}, "action.other"),
        ({"conditions": {}, "action": {"plugin": PLUGIN, "format": "gif"}}, "action.format"),
        ({"conditions": {}, "action": {"plugin": PLUGIN, "store": "yes"}}, "action.store"),
        ({"conditions": {}, "action": {"plugin": PLUGIN, "series": ["1"]}}, "action.series"),
        ({"conditions": {}, "action": {"plugin": PLUGIN}, "enabled": "yes"}, "enabled"),
        ({"conditions": {}, "action": {"plugin": PLUGIN}, "name": "x" * 201}, "name"),
        ({"conditions": {}, "action": {"plugin": PLUGIN}, "id": "mine"}, "id"),
    ],
)
def test_what_is_wrong_is_named(here: RulesClient, rule: dict[str, Any], field: str) -> None:
    answer = here.http.post("/api/rules", json=rule)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field, answer.text
    assert here.http.get("/api/rules").json() == []


def test_labels_of_instances_are_conditions(here: RulesClient) -> None:
    rule = here.rule({"labels": ["for-rules", "other"]})
    here.store(dicom_file(1), dicom_file(1, series=2))
    assert here.http.put(f"/api/instances/{uid(1)}/labels/for-rules").status_code == 204
    here.store(dicom_file(2), dicom_file(2, series=2))  # they are stable after that
    told = here.ran(rule)
    here.wait_until_idle()
    assert {run["series"] for run in told["runs"]} == {uid(1).rpartition(".")[0]}
    refused = here.post_rule({"labels": "no label"})
    assert (refused.status_code, refused.json()["field"]) == (422, "conditions.labels")
