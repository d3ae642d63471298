"""Rules on series with one UID: each is stable, and run, on its own."""

from pathlib import Path

from tests.support.colliding import collision, instance
from tests.support.rules import PLUGIN, RulesClient


def test_each_of_two_series_is_run(here: RulesClient, note: Path) -> None:
    rule = here.rule({"modality": "CT"}, action={"plugin": PLUGIN, "params": {"note": str(note)}})
    made = collision("PatientID")
    here.store(*(one.file for one in made.both))
    told = here.ran(rule, 2)
    here.wait_until_idle()
    assert told["runs_count"] == 2
    keys = sorted(one.key("series") for one in made.both)
    assert sorted(run["series"] for run in told["runs"]) == keys
    assert {run["series_uid"] for run in told["runs"]} == {made.first.uid("series")}
    assert note.read_text().split() == [made.first.uid("instance")] * 2
    instances = set()
    for run in told["runs"]:
        job = here.http.get(f"/api/jobs/{run['job']}").json()
        assert (job["done"], job["request"]["series"]) == (1, [run["series"]])
        instances |= {each["instance"] for each in here.http.get(f"/api/jobs/{run['job']}/results").json()}
    assert instances == {one.key("instance") for one in made.both}
    assert here.http.get(f"/api/series/{made.first.key('series')}").json()["is_stable"] is True
    # What arrives for one lets it run again, and it alone.
    elements = {"StudyInstanceUID": made.first.uid("study"), "SeriesInstanceUID": made.first.uid("series")}
    here.store(instance(**elements, PatientID=made.second.dataset.PatientID, InstanceNumber=2).file)
    here.ran(rule, 3)
    here.wait_until_idle()
    (latest, *others) = here.get(rule)["runs"]
    assert (latest["series"], len(others)) == (made.second.key("series"), 2)


def test_a_series_that_gets_its_patient_while_it_grows(here: RulesClient, note: Path) -> None:
    rule = here.rule({"modality": "CT"}, action={"plugin": PLUGIN, "params": {"note": str(note)}})
    named = instance()
    elements = {"StudyInstanceUID": named.uid("study"), "SeriesInstanceUID": named.uid("series")}
    unnamed = [instance(**elements, PatientID=None, InstanceNumber=number) for number in (2, 3)]
    here.store(unnamed[0].file, named.file, unnamed[1].file)
    told = here.ran(rule)
    here.wait_until_idle()
    (run,) = here.get(rule)["runs"]
    assert (run["series"], run["done"]) == (named.uid("series"), 3)
    assert told["runs_count"] == 1
    assert sorted(note.read_text().split()) == sorted(one.uid("instance") for one in (named, *unnamed))
