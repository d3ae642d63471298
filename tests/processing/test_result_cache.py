"""The cache of results: nothing is computed twice, and a kept result is the same in every way."""

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.compiled import compile_library
from tests.support.images import COLUMNS, PIXELS, ROWS
from tests.support.packages import meta, zipped
from tests.support.plugin_site import Site
from tests.support.results import Counter

TOLD = ("Content-Type", "X-Shape", "X-Dtype", "X-Result-Json")


def same(one: httpx.Response, other: httpx.Response) -> bool:
    return one.content == other.content and all(one.headers.get(name) == other.headers.get(name) for name in TOLD)


@pytest.mark.parametrize("give", ["json", "image", "bytes"])
def test_the_same_again_is_a_hit(any_site: Site, counter: Counter, give: str) -> None:
    first = any_site.run(give=give, factor=2)
    assert first.status_code == 200, first.text
    assert first.headers["X-Cache"] == "miss"
    id = first.headers["X-Result-Id"]
    for again in (
        any_site.run(give=give, factor="2.0"),
        any_site.run(factor="2e0", wait=0, give=give),
        any_site.post(json={"factor": 2, "give": give}),
        any_site.post(data={"factor": "2", "give": give}),
    ):
        assert again.headers["X-Cache"] == "hit"
        assert again.headers["X-Result-Id"] == id
        assert again.headers["ETag"] == first.headers["ETag"]
        assert same(first, again)
    assert counter.calls == 1
    assert first.headers["Link"] == f'</api/results/{id}>; rel="describedby"'
    other = any_site.run(give=give, factor=3)
    assert (other.headers["X-Cache"], counter.calls) == ("miss", 2)
    assert other.headers["X-Result-Id"] != id


def test_what_the_client_has_is_not_sent(site: Site, counter: Counter) -> None:
    first = site.run(give="image")
    url = f"/api/instances/{site.instance}/process/by_plugin/test.plugin"
    etag = first.headers["ETag"]
    assert etag.startswith('"')
    for given in (etag, f'"other", W/{etag}', "*"):
        answer = site.client.get(url, params={"give": "image"}, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
        posted = site.client.post(url, json={"give": "image"}, headers={"If-None-Match": given})
        assert (posted.status_code, posted.json()["status"]) == (412, 412)
    others: list[dict[str, Any]] = [{"give": "image", "format": "f64"}, {"give": "image", "factor": 2}]
    for params in others:
        answer = site.client.get(url, params=params, headers={"If-None-Match": etag})
        assert answer.status_code == 200
        assert answer.headers["ETag"] != etag
    assert counter.calls == 3  # the samples were not kept by the first
    head = site.client.head(url, params={"give": "image"})
    assert (head.status_code, head.headers["ETag"], head.content) == (200, etag, b"")


def test_a_304_reads_no_body(site: Site) -> None:
    first = site.run(give="image")
    site.client.get("/api/results")  # which waits until it is kept
    files = [path for path in (site.server.data / "results" / "objects").rglob("*") if path.is_file()]
    for file in files:
        file.unlink()
    headers = {"If-None-Match": first.headers["ETag"]}
    url = f"/api/instances/{site.instance}/process/by_plugin/test.plugin"
    assert site.client.get(url, params={"give": "image"}, headers=headers).status_code == 304


@pytest.mark.parametrize("lossless", ["npy", "f64"])
def test_an_image_is_encoded_from_its_samples(site: Site, counter: Counter, lossless: str) -> None:
    """Encode kept samples into what a computation would have given."""
    fresh = {name: site.run(give="image", format=name, cache="no") for name in ("png", "jpeg", "lum8", "f32", "f64")}
    fresh["npy"] = site.run(give="image", format="npy", cache="no")
    result = site.run(give="image", format=lossless, cache="no").headers["X-Result-Id"]
    calls = counter.calls
    assert calls == 7
    for name, computed in fresh.items():
        kept = site.run(give="image", format=name)
        assert kept.headers["X-Cache"] == "hit"
        assert same(kept, computed), name
        content = site.client.get(f"/api/results/{result}/content", params={"format": name})
        assert content.status_code == 200
        assert same(content, computed), name
        assert content.headers["ETag"] == kept.headers["ETag"]
    assert counter.calls == calls
    array = np.load(io.BytesIO(site.run(give="image", format="npy").content))
    assert np.array_equal(array, PIXELS.astype(float))


def test_any_frame_of_a_stack_is_encoded_from_its_samples(site: Site, counter: Counter) -> None:
    stack = site.run(give="stack", format="npy")
    assert np.load(io.BytesIO(stack.content)).shape == (5, ROWS, COLUMNS)
    site.client.get("/api/results")
    again = site.run(give="stack", format="lum8")
    assert (again.headers["X-Cache"], again.headers["X-Shape"]) == ("hit", f"{ROWS},{COLUMNS}")
    content = f"/api/results/{stack.headers['X-Result-Id']}/content"
    fourth = site.client.get(content, params={"format": "lum8", "frame": 4})
    assert np.array_equal(np.frombuffer(fourth.content, "u1"), np.frombuffer(again.content, "u1")[::-1])
    assert fourth.headers["ETag"] != again.headers["ETag"]
    assert site.client.get(content, params={"format": "png", "frame": 6}).status_code == 422
    assert counter.calls == 1


def test_no_cache_computes_anew_and_replaces(site: Site, counter: Counter) -> None:
    first = site.run(give="image", factor=5)
    second = site.run(give="image", factor=5, cache="no")
    assert second.headers["X-Cache"] == "miss"
    assert second.headers["X-Result-Id"] == first.headers["X-Result-Id"]
    assert second.headers["ETag"] != first.headers["ETag"]
    third = site.run(give="image", factor=5)
    assert (third.headers["X-Cache"], third.headers["ETag"]) == ("hit", second.headers["ETag"])
    assert counter.calls == 2
    assert site.run(give="image", cache="perhaps").status_code == 422
    listed = site.client.get("/api/results", params={"instance": site.instance}).json()
    assert len(listed) == 1
    assert len([path for path in (site.server.data / "results" / "objects").rglob("*") if path.is_file()]) == 1


def test_equal_requests_at_the_same_time_are_computed_once(site: Site, counter: Counter) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: site.run(give="image", wait=0.3), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sorted(answer.headers["X-Cache"] for answer in answers) == ["hit"] * 7 + ["miss"]
    assert counter.calls == 1


def test_a_caller_that_goes_away_leaves_the_others_their_answer(site: Site, counter: Counter) -> None:
    with ThreadPoolExecutor(3) as threads:
        url = f"{site.server.url}/api/instances/{site.instance}/process/by_plugin/test.plugin?give=image&wait=0.6"

        def give_up() -> None:
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(url, timeout=0.2)

        gone = threads.submit(give_up)
        stays = [threads.submit(site.run, give="image", wait=0.6) for _ in range(2)]
        gone.result()
        assert [one.result().status_code for one in stays] == [200, 200]
    assert counter.calls == 1


def test_failures_are_not_kept(site: Site, counter: Counter) -> None:
    for _ in range(2):
        failed = site.run(give="fail")
        assert failed.status_code == 500
        assert "X-Result-Id" not in failed.headers
    assert counter.calls == 2
    assert site.client.get("/api/results", params={"instance": site.instance}).json() == []


def test_edits_make_another_result(site: Site, counter: Counter) -> None:
    before = site.run()
    patient = site.client.get(f"/api/instances/{site.instance}").json()["patient"]
    assert site.client.put(f"/api/patients/{patient}", json={"patient_name": "Other^Name"}).status_code == 200
    after = site.run()
    assert after.headers["X-Cache"] == "miss"
    assert after.headers["X-Result-Id"] != before.headers["X-Result-Id"]
    # Undone: what was computed from the file as it is counts again.
    [edit] = site.client.get(f"/api/patients/{patient}/edits").json()
    assert site.client.delete(f"/api/patients/{patient}/edits/{edit['edit']}").status_code == 204
    again = site.run()
    assert (again.headers["X-Cache"], again.headers["X-Result-Id"]) == ("hit", before.headers["X-Result-Id"])


def test_another_version_makes_another_result(site: Site, counter: Counter) -> None:
    archive = counter.archive()  # a ZIP has the time in it
    assert site.install(archive).status_code == 200
    first = site.run()
    assert site.install(counter.archive(version="2.0")).status_code == 200
    second = site.run()
    assert second.headers["X-Cache"] == "miss"
    assert second.headers["X-Result-Id"] != first.headers["X-Result-Id"]
    found = site.client.get("/api/results", params={"plugin": "test.plugin", "version": "1.0"}).json()
    assert [one["id"] for one in found] == [first.headers["X-Result-Id"]]
    assert site.install(archive).status_code == 200
    assert site.run().headers["X-Cache"] == "hit"


@pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler is needed for a native plugin")
def test_a_native_plugins_image_and_json_are_one_result(site: Site, tmp_path: Path) -> None:
    (tmp_path / "p.c").write_text(
        """
        typedef struct { int calls; } Plugin;
        static Plugin one;
        Plugin *InitPlugin(void) { return &one; }
        double *Process(Plugin *p, double *img, int w, int h, const char *params) { p->calls++; return img; }
        const char *ResultJson(Plugin *p) { return p->calls == 1 ? "{\\"calls\\":1,\\"x\\":1.50}" : "{\\"calls\\":2}"; }
        void DestroyPlugin(Plugin *p) {}
        """
    )
    library = compile_library(tmp_path / "p.c")
    files: dict[str, Any] = {
        "META.json": json.dumps(meta(plugin_guid="native")),
        "libp.so": library.read_bytes(),
    }
    assert site.install(zipped(files)).status_code == 201
    image = site.run("native", format="f64")
    assert json.loads(image.headers["X-Result-Json"]) == {"calls": 1, "x": 1.5}
    again = site.run("native", format="f64")  # at once, perhaps before it is written
    assert (again.headers["X-Cache"], same(again, image)) == ("hit", True)
    beside = site.run("native", format="json")
    assert (beside.headers["X-Cache"], beside.headers["Content-Type"]) == ("hit", "application/json")
    assert beside.json() == {"calls": 1, "x": 1.5}
    assert beside.headers["X-Result-Id"] == image.headers["X-Result-Id"]
    picture = site.run("native", format="png")
    assert picture.headers["X-Cache"] == "hit"
    assert json.loads(picture.headers["X-Result-Json"]) == {"calls": 1, "x": 1.5}
    found = site.client.get("/api/results", params={"value": "x = 1.5"}).json()
    assert [one["kind"] for one in found] == ["image"]
