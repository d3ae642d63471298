"""Results as a resource: found by what made them, by what they came of and by what is in them."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests.support.api import upload
from tests.support.images import ROWS, ct_image
from tests.support.packages import package
from tests.support.plugin_site import Site
from tests.support.results import Counter, files, finished, ids
from tests.support.server import Server


def test_a_record_tells_what_it_came_of(any_site: Site, counter: Counter) -> None:
    site = any_site
    answer = site.run(factor=21.5)
    instance = site.client.get(f"/api/instances/{site.instance}").json()
    record = site.client.get(f"/api/results/{answer.headers['X-Result-Id']}").json()
    plugin = site.client.get("/api/plugins/test.plugin").json()
    assert record["plugin"] == "test.plugin"
    assert record["model"] is None
    assert (record["name"], record["version"], record["digest"]) == ("Test", "1.0", plugin["digest"])
    assert record["params"] == {"give": "json", "factor": 21.5, "wait": 0.0}
    assert (record["level"], record["instances"]) == ("instance", [site.instance])
    for above in ("series", "study", "patient"):
        assert record[above] == instance[above]
    assert (record["kind"], record["json"]) == ("json", answer.json())
    assert record["json_size"] == len(answer.content)
    assert record["seconds"] > 0
    assert record["created"].endswith("+00:00")
    assert (record["evicted"], record["stored"], record["job"]) == (False, [], None)
    assert record["links"]["sources"] == [f"/api/instances/{site.instance}"]
    content = site.client.get(record["links"]["content"])
    assert (content.content, content.headers["Content-Type"]) == (answer.content, "application/json")
    assert content.headers["ETag"] == answer.headers["ETag"]
    for link in (*record["links"]["sources"], record["links"]["series"], record["links"]["study"]):
        assert site.client.get(link).status_code == 200


def test_filters(any_site: Site, counter: Counter) -> None:
    site = any_site
    second_instance, data = ct_image()
    upload(site.client, data)
    assert site.install(counter.archive("other.plugin", "2.0")).status_code == 201
    second = Site(site.server, second_instance)
    try:
        runs = {
            "low": site.run(factor=10),
            "high": site.run(factor=30),
            "image": site.run(give="image"),
            "other": site.run("other.plugin", factor=20),
            "second": second.run(factor=30),
        }
        by_id = {answer.headers["X-Result-Id"]: name for name, answer in runs.items()}
        digest = site.client.get("/api/plugins/other.plugin").json()["digest"]
        instance = site.client.get(f"/api/instances/{site.instance}").json()
        first_four = {"low", "high", "image", "other"}
        ours = f"{site.instance},{second_instance}"
        today = site.client.get("/api/results").json()[0]["created"][:10]
        for params, expected in [
            ({}, set(runs)),
            ({"plugin": "other.plugin"}, {"other"}),
            ({"plugin": "other.plugin,test.plugin", "kind": "json"}, {"low", "high", "other", "second"}),
            ({"version": "2.0"}, {"other"}),
            ({"digest": digest}, {"other"}),
            ({"instance": site.instance}, first_four),
            ({"series": instance["series"]}, first_four),
            ({"study": instance["study"]}, first_four),
            ({"patient": instance["patient"]}, set(runs)),
            ({"kind": "image"}, {"image"}),
            ({"model": "test.plugin"}, set()),
            ({"job": "none"}, set()),
            ({"created": today}, set(runs)),
            ({"created": "2001/2002-05"}, set()),
            ({"created": f"{today}/"}, set(runs)),
            ({"created": f"../{today}T00:00:00Z"}, set()),
            ({"value": "measurements.volume_ml > 20"}, {"high", "second"}),
            ({"value": "measurements.volume_ml>=20"}, {"high", "second", "other"}),
            ({"value": ["measurements.volume_ml >= 10", "measurements.volume_ml < 30"]}, {"low", "other"}),
            ({"value": "measurements.volume_ml = 1e1"}, {"low"}),
            ({"value": "measurements.volume_ml != 30"}, {"low", "other"}),
            ({"value": "measurements.labels = liver"}, {"low", "high", "second", "other"}),
            ({"value": 'measurements.labels[1] == "liver"'}, set()),
            ({"value": "measurements.labels[1] = spleen", "version": "2.0"}, {"other"}),
            ({"value": "list.v > 1"}, {"low", "high", "second", "other"}),
            ({"value": "list[0].v > 1"}, set()),
            ({"value": "patient = Doe^Jane"}, {"low", "high", "second", "other"}),
            ({"value": "patient = doe^jane"}, set()),
            ({"value": "measurements.volume_ml > liver"}, set()),
        ]:
            answer = site.client.get("/api/results", params={"instance": ours, **params})
            assert {by_id[one] for one in ids(answer)} == expected, params
        for url, level in (("instances", "id"), ("series", "series"), ("studies", "study"), ("patients", "patient")):
            path = f"/api/{url}/{instance[level]}/results"
            answer = site.client.get(path, params={"value": "measurements.volume_ml > 20"})
            assert {by_id[one] for one in ids(answer)} == ({"high", "second"} if url == "patients" else {"high"})
        pages = [
            site.client.get("/api/results", params={"instance": ours, "limit": 2, "offset": n, "sort": "created"})
            for n in (0, 2, 4)
        ]
        order = [by_id[one["id"]] for page in pages for one in page.json()]
        assert order == ["low", "high", "image", "other", "second"]
        assert 'rel="next"' in pages[0].headers["Link"]
        newest = site.client.get("/api/results", params={"instance": ours, "limit": 1}).json()
        assert by_id[newest[0]["id"]] == "second"
    finally:
        assert site.client.delete(f"/api/instances/{second_instance}").status_code == 204


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"value": "volume"}, "value"),
        ({"value": "a >"}, "value"),
        ({"value": "> 5"}, "value"),
        ({"value": "a..b = 1"}, "value"),
        ({"value": "a = < 5"}, "value"),
        ({"value": "a[x] = 5"}, "value"),
        ({"value": 'a = "x'}, "value"),
        ({"value": "a" * 300 + " = 1"}, "value"),
        ({"value": "a = " + "x" * 300}, "value"),
        ({"value": "a>" + " " * 5000 + "x"}, "value"),
        ({"value": ["a = 1"] * 30}, "value"),
        ({"created": "yesterday"}, "created"),
        ({"created": "2024-13"}, "created"),
        ({"created": "/"}, "created"),
        ({"kind": "film"}, "kind"),
        ({"plugin": "a,,b"}, "plugin"),
        ({"plugin": ["a", "b"]}, "plugin"),
        ({"sort": "name"}, "sort"),
        ({"limit": 0}, "limit"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_filters_that_make_no_sense(server: Server, params: dict[str, object], field: str) -> None:
    answer = server.client.get("/api/results", params=params)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


def test_what_is_not_there(site: Site) -> None:
    for path in ("/api/results/none", "/api/results/none/content", "/api/instances/1.2.3/results"):
        assert site.client.get(path).status_code == 404
    assert site.client.delete("/api/results/none").status_code == 404
    id = site.run().headers["X-Result-Id"]
    assert site.client.get(f"/api/results/{id}/content", params={"format": "gif"}).status_code == 422
    assert site.client.get(f"/api/results/{id}/content", params={"frame": 0}).status_code == 422


def test_content_in_parts(site: Site) -> None:
    answer = site.run(give="image", format="f64")
    content = f"/api/results/{answer.headers['X-Result-Id']}/content"
    part = site.client.get(content, headers={"Range": "bytes=8-23"})
    assert (part.status_code, part.content) == (206, answer.content[8:24])
    assert part.headers["Content-Range"] == f"bytes 8-23/{len(answer.content)}"
    assert site.client.get(content, headers={"Range": "bytes=99999-"}).status_code == 416
    stale = site.client.get(content, headers={"Range": "bytes=8-23", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, answer.content)
    current = site.client.get(content, headers={"If-None-Match": answer.headers["ETag"]})
    assert (current.status_code, current.content) == (304, b"")


def test_deleting_a_result(any_site: Site, counter: Counter) -> None:
    site = any_site
    id = site.run(give="image").headers["X-Result-Id"]
    assert site.client.delete(f"/api/results/{id}").status_code == 204
    assert site.client.get(f"/api/results/{id}").status_code == 404
    assert files(site.server) == []
    assert site.run(give="image").headers["X-Cache"] == "miss"


def test_long_json_is_kept_beside_the_record(site: Site, tmp_path: Path) -> None:
    source = """
class Plugin:
    def init(self): pass
    def process(self, ds=None, *args, **kwargs):
        return {"first": 7, "rows": [{"n": n, "text": "x" * 20} for n in range(5000)], "last": 8}
    def destroy(self): pass
"""
    assert site.install(package(source, plugin_guid="long")).status_code == 201
    first = site.run("long")
    again = site.run("long")
    assert (again.headers["X-Cache"], again.content) == ("hit", first.content)
    record = site.client.get(f"/api/results/{first.headers['X-Result-Id']}").json()
    assert (record["json"], record["json_size"]) == (None, len(first.content))
    assert record["values_left_out"] > 0
    for value, count in (("first = 7", 1), ("rows[3].n = 3", 1), ("last = 8", 1), ("rows[4000].n = 4000", 0)):
        found = site.client.get("/api/results", params={"value": value, "plugin": "long"}).json()
        assert len(found) == count, value


def test_large_parameters_are_named_where_a_result_is_not_computed_again(site: Site) -> None:
    source = """
class Plugin:
    def init(self): pass
    def process(self, ds=None, t=""):
        return ds.pixel_array * 1.0
    def destroy(self): pass
"""
    assert site.install(package(source, plugin_guid="large", params={"t": {"type": "text"}})).status_code == 201
    done = site.post("large", json={"t": "a" * 20_000})
    assert done.status_code == 200, done.text
    content = f"/api/results/{done.headers['X-Result-Id']}/content"
    assert site.client.get(content).content == done.content
    other = site.client.get(content, params={"format": "npy"})
    assert (other.status_code, other.json()["code"]) == (410, "gone")
    assert other.json()["detail"].endswith("too large to be kept with the result: t")


def test_provenance_of_what_was_stored(any_site: Site, counter: Counter) -> None:
    """Follow a result from its source to the derived instance, and back."""
    pytest.importorskip("highdicom")
    site = any_site
    answer = site.run(give="image", store="true")
    assert answer.status_code == 200, answer.text
    [derived] = answer.headers["X-Stored-Instances"].split(",")
    made = site.client.get(f"/api/instances/{derived}").json()
    try:
        [record] = site.client.get(f"/api/instances/{site.instance}/results").json()
        assert record["stored"] == [derived]
        assert record["links"]["stored"] == [f"/api/instances/{derived}"]
        for uid in (derived, made["series"]):
            assert ids(site.client.get("/api/results", params={"stored": uid})) == {record["id"]}
        again = site.run(give="image", store="true")
        assert again.headers["X-Stored-Instances"] == derived
        assert (again.headers["X-Cache"], counter.calls) == ("hit", 1)
        ds = dcmread(io.BytesIO(site.client.get(f"/api/instances/{derived}/file").content))
        assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == site.instance
        assert site.client.delete(f"/api/instances/{derived}").status_code == 204
        assert site.client.get(f"/api/results/{record['id']}").json()["stored"] == []
        assert ids(site.client.get("/api/results", params={"stored": derived})) == set()
        third = site.run(give="image", store="true")
        assert third.headers["X-Stored-Instances"] == derived
        assert counter.calls == 1
    finally:
        site.client.delete(f"/api/instances/{derived}")


def test_results_of_a_job(any_site: Site, counter: Counter) -> None:
    site = any_site
    series = site.client.get(f"/api/instances/{site.instance}").json()["series"]
    made = site.client.post(f"/api/series/{series}/process/by_plugin/test.plugin", json={"give": "image"})
    assert made.status_code == 202, made.text
    job = finished(site.client, made.json()["id"])
    assert (job["state"], job["done"]) == ("done", 1)
    [record] = site.client.get("/api/results", params={"job": job["id"]}).json()
    assert (record["instances"], record["job"]) == ([site.instance], job["id"])
    assert [one["format"] for one in record["content"]] == ["npy"]
    picture = site.run(give="image")
    assert (picture.headers["X-Cache"], counter.calls) == ("hit", 1)
    assert picture.headers["Content-Type"] == "image/png"
    array = np.load(io.BytesIO(site.client.get(f"/api/results/{record['id']}/content").content))
    assert array.shape[0] == ROWS
    again = site.client.post(f"/api/series/{series}/process/by_plugin/test.plugin", json={"give": "image"})
    assert finished(site.client, again.json()["id"])["done"] == 1
    assert counter.calls == 1


def test_metrics(site: Site) -> None:
    def value(name: str) -> float:
        lines = site.client.get("/api/metrics").text.splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(name)))

    hit, miss = 'neurdicom_results_total{outcome="hit"}', 'neurdicom_results_total{outcome="miss"}'
    before = value(hit), value(miss)
    for _ in range(3):
        site.run(give="image")
    assert (value(hit) - before[0], value(miss) - before[1]) == (2, 1)
    site.client.get("/api/results")
    assert value("neurdicom_results_bytes") > 0


def test_every_user_sees_results_and_nobody_else(tmp_path: Path) -> None:
    with Server(tmp_path / "data", auth=True) as server:
        for path in ("/api/results", "/api/results/x", "/api/results/x/content", "/api/instances/1.2/results"):
            answer = server.client.get(path)
            assert (answer.status_code, json.loads(answer.content)["code"]) == (401, "unauthenticated")
        assert server.client.delete("/api/results/x").status_code == 401
