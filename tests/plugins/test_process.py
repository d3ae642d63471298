"""Running plugins over HTTP: parameters, results, and what stands in the way."""

import io
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.compiled import compile_library
from tests.support.images import COLUMNS, PIXELS, ROWS
from tests.support.packages import meta, package, zipped
from tests.support.plugin_site import Site, upload_image
from tests.support.server import Server

ECHO = """
class Plugin:
    def init(self): pass
    def process(self, ds=None, *args, **kwargs):
        return {"args": len(args), **kwargs}
    def destroy(self): pass
"""
COUNTS = """
class Plugin:
    def init(self): pass
    def process(self, ds, l, t):
        return {"count": len(l), "sum": sum(l), "text": len(t)}
    def destroy(self): pass
"""
SAVES = """
import subprocess
class Plugin:
    def process(self, ds, save):
        if save:
            ds.save_as(ds.filename)
        return {"bytes": int(subprocess.check_output(["wc", "-c", ds.filename]).split()[0])}
"""
PARAMS = {
    "i": {"type": "int", "range": [0, 10]},
    "d": {"type": "float", "default": 1},
    "t": {"type": "text", "isnull": True, "values": ["a", "b"]},
    "l": {"type": "int", "isarray": True, "is_required": False},
    "b": {"type": "bool", "default": False},
}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"params": {"i": "1"}}, {"i": 1, "d": 1.0, "b": False}),
        ({"params": {"i": 1, "l": [1, 2], "t": "a"}}, {"i": 1, "d": 1.0, "t": "a", "l": [1, 2], "b": False}),
        ({"json": {"i": 1, "t": None, "l": [], "b": True}}, {"i": 1, "d": 1.0, "t": None, "l": [], "b": True}),
        ({"json": {"i": 1}, "params": {"d": "2.5"}}, {"i": 1, "d": 2.5, "b": False}),
        ({"data": {"i": "1", "l": "3,4", "b": "on"}}, {"i": 1, "d": 1.0, "l": [3, 4], "b": True}),
        ({"files": {"i": (None, "7")}}, {"i": 7, "d": 1.0, "b": False}),
    ],
)
def test_parameters_arrive_converted(site: Site, request_: dict[str, Any], expected: dict[str, Any]) -> None:
    assert site.install(package(ECHO, params=PARAMS)).status_code in (200, 201)
    answer = site.post(**request_)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"args": 0, **expected}


def test_a_stored_file_is_read_by_its_name_and_not_saved_over(site: Site) -> None:
    assert site.install(package(SAVES, params={"save": {"type": "bool"}})).status_code in (200, 201)
    url = f"/api/instances/{site.instance}/file"
    content = site.client.get(url).content
    assert site.post(params={"save": "no"}).json() == {"bytes": len(content)}
    refused = site.post(params={"save": "yes"})
    assert (refused.status_code, refused.json()["code"]) == (500, "plugin_failed")
    assert "the data folder is read-only for plugins; write to a temporary folder" in refused.json()["detail"]
    assert site.client.get(url).content == content
    assert oct(next((site.server.data / "blobs" / "objects").glob("*/*")).stat().st_mode)[-3:] == "400"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "i"),
        ({"params": {"i": "x"}}, "i"),
        ({"params": {"i": 11}}, "i"),
        ({"params": {"i": [1, 2]}}, "i"),
        ({"params": {"i": 1, "t": "c"}}, "t"),
        ({"params": {"i": 1, "colour": "red"}}, "colour"),
        ({"json": {"i": True}}, "i"),
        ({"json": {"i": 1, "d": None}}, "d"),
        ({"json": {"i": 1}, "params": {"i": 1}}, "i"),
        ({"params": {"i": 1, "frame": 0}}, "frame"),
        ({"params": {"i": 1, "frame": 2}}, "frame"),
        ({"params": {"i": 1, "frame": "x"}}, "frame"),
        ({"params": {"i": 1, "format": "gif"}}, "format"),
    ],
)
def test_wrong_parameters_are_named_and_the_plugin_is_not_called(
    site: Site, request_: dict[str, Any], field: str
) -> None:
    source = ECHO.replace("return", "raise RuntimeError('called'); return")
    assert site.install(package(source, params=PARAMS)).status_code in (200, 201)
    answer = site.post(**request_)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field


def test_large_parameters(site: Site) -> None:
    """Give a plugin lists of a megabyte and more, from JSON and from forms, and keep its result."""
    site.install(package(COUNTS, params={"l": {"type": "int", "isarray": True}, "t": {"type": "text", "default": ""}}))
    numbers = [number % 1000 for number in range(300_000)]
    digest = {"count": len(numbers), "sum": sum(numbers), "text": 40_000}
    text = "ä" * 40_000
    comma = ",".join(map(str, numbers))
    for request_ in (
        {"json": {"l": numbers, "t": text}},
        {"data": {"l": comma, "t": text}},
        {"data": {"l": f"[{comma}]", "t": text}},
        {"files": {"l": (None, comma), "t": (None, text)}},
    ):
        answer = site.post(**request_)
        assert (answer.status_code, answer.json()) == (200, digest), answer.text[:500]
    assert answer.headers["X-Cache"] == "hit", "all are the same run"
    result = f"/api/results/{answer.headers['X-Result-Id']}"
    assert site.client.get(result).json()["params"] == {"l": None, "t": None}, "what is large is not kept"
    assert site.client.get(f"{result}/content").json() == digest
    few = site.post(json={"l": numbers[:5000], "t": "a"})
    kept = site.client.get(f"/api/results/{few.headers['X-Result-Id']}").json()
    assert kept["params"] == {"l": numbers[:5000], "t": "a"}
    for wrong, field in (
        ({"l": [*numbers, "x"], "t": ""}, "l"),
        ({"l": [[1]] * 100_000}, "l"),
        ({"l": [1], "u": numbers}, "u"),
        (dict.fromkeys((f"k{number}" for number in range(20_000)), 1), None),
    ):
        refused = site.post(json=wrong)
        assert (refused.status_code, refused.json().get("field")) == (422, field), refused.text[:500]
        assert len(refused.text) < 1000


@pytest.mark.parametrize(
    "request_",
    [
        {"params": {"größe": "é"}},
        {"data": {"größe": "é"}},
        {"files": {"größe": (None, "é")}},
        {"json": {"größe": "é"}},
    ],
)
def test_names_of_parameters_may_be_in_any_script(site: Site, request_: dict[str, Any]) -> None:
    assert site.install(package(ECHO, params={"größe": {"type": "text"}})).status_code in (200, 201)
    assert site.post(**request_).json() == {"args": 0, "größe": "é"}


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{", "application/json"),
        (b"i=%ff", "application/x-www-form-urlencoded"),
        (b"%ff=1", "application/x-www-form-urlencoded"),
        (b"x", "text/plain"),
        (b"x", "multipart/form-data; boundary=b"),
        (b"x", "multipart/form-data"),
        (
            b'--b\r\nContent-Disposition: form-data; name="i"\r\nno header\r\n\r\n1\r\n--b--',
            "multipart/form-data; boundary=b",
        ),
    ],
)
def test_a_body_that_cannot_be_parsed_is_malformed(site: Site, content: bytes, content_type: str) -> None:
    assert site.install(package(ECHO, params=PARAMS)).status_code in (200, 201)
    assert site.post(content=content, headers={"Content-Type": content_type}).status_code == 400


def test_a_plugins_own_parameter_comes_before_an_option_of_that_name(site: Site) -> None:
    params = {"format": {"type": "text"}, "frame": {"type": "double", "default": 0}}
    assert site.install(package(ECHO, params=params)).status_code in (200, 201)
    assert site.run(format="anything").json() == {"args": 0, "format": "anything", "frame": 0.0}


def test_own_modules_and_data_files(site: Site) -> None:
    """Load modules beside plugin.py, packages, and files found from __file__."""
    source = """
import csv, json, pathlib
from helpers.arithmetic import double
import settings

class Plugin:
    def init(self):
        self.table = json.loads((pathlib.Path(__file__).parent / "data" / "table.json").read_text())
    def process(self, ds=None, *args, **kwargs):
        return {"double": double(self.table["x"]), "name": settings.NAME, "rows": int(ds.Rows)}
    def destroy(self):
        pass
"""
    files = {
        "helpers/__init__.py": "",
        "helpers/arithmetic.py": "from .constants import TWO\ndef double(x): return TWO * x\n",
        "helpers/constants.py": "TWO = 2\n",
        "settings.py": "NAME = 'own'\n",
        "data/table.json": json.dumps({"x": 21}),
    }
    for top in ("", "my-plugin/"):
        assert site.install(package(source, top=top, files=files)).status_code in (200, 201)
        assert site.run().json() == {"double": 42, "name": "own", "rows": ROWS}


def test_two_plugins_share_no_modules(site: Site) -> None:
    for guid in ("one", "two"):
        source = "import helper\n" + ECHO.replace("len(args)", "helper.NAME")
        assert (
            site.install(package(source, plugin_guid=guid, files={"helper.py": f"NAME = {guid!r}"})).status_code == 201
        )
    assert site.run("one").json() == {"args": "one"}
    assert site.run("two").json() == {"args": "two"}


def test_image_results_in_every_format(site: Site) -> None:
    source = ECHO.replace('{"args": len(args), **kwargs}', "ds.pixel_array * 2.0")
    assert site.install(package(source)).status_code in (200, 201)
    doubled = PIXELS * 2.0
    png = site.run()
    assert png.headers["Content-Type"] == "image/png"
    assert png.content.startswith(b"\x89PNG")
    assert site.run(format="jpeg").content.startswith(b"\xff\xd8")
    f64 = site.run(format="f64")
    assert np.array_equal(np.frombuffer(f64.content, "<f8").reshape(ROWS, COLUMNS), doubled)
    assert (f64.headers["X-Shape"], f64.headers["X-Dtype"]) == (f"{ROWS},{COLUMNS}", "<f8")
    assert np.array_equal(np.frombuffer(site.run(format="f32").content, "<f4"), doubled.ravel())
    assert np.array_equal(np.load(io.BytesIO(site.run(format="npy").content)), doubled)
    lum8 = np.frombuffer(site.run(format="lum8").content, "u1")
    assert (lum8.size, lum8.min(), lum8.max()) == (ROWS * COLUMNS, 0, 255)


def test_errors_of_a_plugin_end_one_request(site: Site) -> None:
    source = """
import ctypes, os, time
class Plugin:
    def init(self): pass
    def process(self, ds=None, *args, how, **kwargs):
        if how == "raise": raise KeyError("no such table")
        if how == "exit": os._exit(3)
        if how == "crash": ctypes.string_at(0)
        if how == "hang": time.sleep(60)
        if how == "memory": return [bytearray(1 << 24) for _ in range(64)] and {}
        return {"how": how}
    def destroy(self): pass
"""
    meta: dict[str, Any] = {"params": {"how": {"type": "text"}}, "memory": 200}
    hasty = {**meta, "plugin_guid": "hasty", "timeout": 1}  # on a busy machine the others may take longer
    assert site.install(package(source, **meta)).status_code == 201
    assert site.install(package(source, **hasty)).status_code == 201
    for guid, how, status, code, named in (
        ("test.plugin", "raise", 500, "plugin_failed", "KeyError: 'no such table'"),
        ("test.plugin", "exit", 502, "plugin_crashed", "3"),
        ("test.plugin", "crash", 502, "plugin_crashed", "SIGSEGV"),
        ("hasty", "hang", 504, "plugin_timeout", "1 s"),
        ("test.plugin", "memory", 507, "plugin_memory", "200 MiB"),
    ):
        answer = site.run(guid, how=how)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert named in answer.json()["detail"]
        assert site.run(guid, how="fine").json() == {"how": "fine"}
    assert site.client.get("/api/plugins/test.plugin").json()["state"] == "ready"


def test_what_is_not_there_is_not_found(site: Site) -> None:
    assert site.install(package(ECHO)).status_code == 201
    assert site.run("no.such").status_code == 404
    unknown = "/api/instances/1.2.3/process/by_plugin/test.plugin"
    assert site.client.get(unknown).status_code == 404
    assert site.client.get(unknown, params={"no_such": 1}).status_code == 404
    assert site.client.post(unknown, json={"no_such": 1}).status_code == 404
    assert site.run(store="true").status_code == 406


def test_edits_are_in_the_dataset(site: Site) -> None:
    source = ECHO.replace('{"args": len(args), **kwargs}', '{"body": ds.BodyPartExamined, "name": str(ds.PatientName)}')
    assert site.install(package(source)).status_code in (200, 201)
    instance = site.client.get(f"/api/instances/{site.instance}").json()
    for path, changes in (
        (f"/api/series/{instance['series']}", {"body_part_examined": "HEAD"}),
        (f"/api/patients/{instance['patient']}", {"patient_name": "Ёлкин^Пётр"}),
    ):
        assert site.client.put(path, json=changes).status_code == 200
    assert site.run().json() == {"body": "HEAD", "name": "Ёлкин^Пётр"}


@pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler is needed for a native plugin")
def test_a_native_plugin(site: Site, tmp_path: Path) -> None:
    """The three functions and two of the optional ones; parameters arrive as JSON."""
    (tmp_path / "p.c").write_text(
        """
        #include <stdlib.h>
        #include <string.h>
        typedef struct { char json[4096]; } Plugin;
        Plugin *InitPlugin(void) { return calloc(1, sizeof(Plugin)); }
        double *Process(Plugin *p, double *img, int w, int h, const char *params) {
            strncpy(p->json, params, sizeof p->json - 1);
            if (strstr(params, "null")) return NULL;
            for (int i = 0; i < w * h; i++) img[i] = -img[i];
            return img;
        }
        const char *LastError(Plugin *p) { return "told to fail"; }
        const char *ResultJson(Plugin *p) { return p->json; }
        void DestroyPlugin(Plugin *p) { free(p); }
        """
    )
    library = compile_library(tmp_path / "p.c", "-O1")
    params = {
        "x": {"type": "double", "default": 1},
        "t": {"type": "text", "isnull": True},
        "l": {"type": "int", "isarray": True, "default": []},
    }
    for fields, sign in (({}, PIXELS), ({"input": "modality"}, PIXELS * 2.0 - 10)):
        files: dict[str, Any] = {
            "META.json": json.dumps(meta(params=params, **fields)),
            "libp.so": library.read_bytes(),
        }
        assert site.install(zipped(files)).json()["kind"] == "native"
        answer = site.run(format="f64", x=2, t="ü", l="1,2")
        assert np.array_equal(np.frombuffer(answer.content, "<f8").reshape(ROWS, COLUMNS), -sign)
        assert json.loads(answer.headers["X-Result-Json"]) == {"x": 2.0, "t": "ü", "l": [1, 2]}
        assert site.run(format="json", t="ü").json() == {"x": 1.0, "t": "ü", "l": []}
        failed = site.run(t="null")
        assert (failed.status_code, failed.json()["code"]) == (500, "plugin_failed")
        assert "told to fail" in failed.json()["detail"]


def test_calls_whose_clients_are_gone_hold_nobody(tmp_path: Path) -> None:
    """Eight aborted calls of ten seconds, with one worker: what runs is stopped, what waits is never begun."""
    log = tmp_path / "log" / "calls"
    log.parent.mkdir()
    source = f"""
import time
class Plugin:
    def init(self): pass
    def process(self, ds=None, *args, number, seconds, **kwargs):
        with open({str(log)!r}, "a") as file:
            file.write(f"begin {{number}}\\n")
        time.sleep(seconds)
        with open({str(log)!r}, "a") as file:
            file.write(f"end {{number}}\\n")
        return {{"number": number}}
    def destroy(self): pass
"""
    params = {"number": {"type": "int"}, "seconds": {"type": "double", "default": 0}}
    with Server(tmp_path / "data", "--plugin-workers", "1") as server:
        site = Site(server, upload_image(server))
        assert site.install(package(source, params=params)).status_code == 201
        url = f"{server.url}/api/instances/{site.instance}/process/by_plugin/test.plugin"

        def abort(number: int) -> None:
            with pytest.raises(httpx.ReadTimeout):
                httpx.get(url, params={"number": number, "seconds": 10}, timeout=2)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(abort, range(8)))
        begun = time.monotonic()
        assert site.run(number=8).json() == {"number": 8}
        assert time.monotonic() - begun < 8, "not the rest of the call that was under way, nor of those that waited"
        assert site.client.get("/api/plugins/test.plugin").json()["state"] == "ready"
    lines = log.read_text().split("\n")
    assert len([line for line in lines if line.startswith("begin")]) <= 4, "clients do not leave at one moment"
    assert [line for line in lines if line.startswith("end")] == ["end 8"]


def test_another_modality_than_meta_json_names_is_a_warning(site: Site) -> None:
    """The image is a CT."""
    guid = "test.for-ct"
    assert site.install(package(ECHO, plugin_guid=guid, modalities=["ct", "PT"])).status_code == 201
    assert "Warning" not in site.run(guid).headers
    assert site.install(package(ECHO, plugin_guid=guid, version="2", modalities="MR")).status_code == 200
    expected = f'299 neurdicom "the plugin {guid} is made for MR, and this instance is CT"'
    for _ in range(2):
        answer = site.run(guid)
        assert (answer.status_code, answer.headers["Warning"]) == (200, expected)
    current = site.client.get(str(answer.url), headers={"If-None-Match": answer.headers["ETag"]})
    assert (current.status_code, current.headers["Warning"]) == (304, expected)
    assert site.server.log.count(f"WARNING neurdicom.processing.resolve: the plugin {guid} is made for MR") == 1
