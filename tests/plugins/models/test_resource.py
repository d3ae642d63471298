"""Models over HTTP: install, list, replace, delete, survive a restart."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.networks import classifier, convolution, identity, meta, network, node, package
from tests.support.packages import zipped
from tests.support.plugin_site import Site, visit
from tests.support.server import Server
from tests.support.waiting import wait_for

CLASSES = {"kind": "classification", "labels": ["a", "b", "c"], "activation": "softmax"}


def test_from_upload_to_delete(any_site: Site) -> None:
    site = any_site
    answer = site.install_model(package())
    assert answer.status_code == 201, answer.text
    model = answer.json()
    assert (model["id"], model["kind"], model["state"], model["problem"]) == (
        "test.model",
        "segmentation",
        "ready",
        None,
    )
    assert (model["name"], model["version"], model["author"]) == ("Test model", "1.0", "Tests")
    assert model["network"]["input"] == {"name": "x", "type": "tensor(float)", "shape": [1, 1, None, None]}
    assert model["network"]["classes"] == 3
    assert model["network"]["opset"] == {"ai.onnx": 17}
    assert model["output"]["labels"] == ["background", "one", "two"]
    assert site.models == sorted([model["digest"], f"{model['digest']}.zip"])
    assert site.client.get("/api/models/test.model").json() == model
    listed = site.client.get("/api/models")
    assert (listed.json(), listed.headers["X-Total-Count"]) == ([model], "1")
    run = site.run_model(format="npy")
    assert (run.status_code, run.headers["X-Shape"], run.headers["X-Dtype"]) == (200, "6,8", "|u1")
    assert site.run_model().headers["Content-Type"] == "image/png"
    assert site.client.delete("/api/models/test.model").status_code == 204
    for answer in (
        site.client.get("/api/models/test.model"),
        site.client.delete("/api/models/test.model"),
        site.run_model(),
    ):
        assert answer.status_code == 404
        assert "there is no model 'test.model'" in answer.json()["detail"]
    wait_for(lambda: site.models == [])


def test_an_id_is_the_guid_or_else_the_name(site: Site) -> None:
    assert site.install_model(package(model_guid=None, title="Lungs и лёгкие")).json()["id"] == "Lungs и лёгкие"
    assert site.run_model("Lungs и лёгкие").status_code == 200
    answer = site.install_model(package(model_guid=None, title="a/b"))
    assert (answer.status_code, answer.json()["field"]) == (422, "model_guid")
    answer = site.install_model(package(model_guid="a/b"))
    assert (answer.status_code, answer.json()["field"]) == (422, "model_guid")


def test_the_schema_is_served(site: Site) -> None:
    schema = site.client.get("/api/models/schema").json()
    assert schema["required"] == ["name", "author", "output"]
    assert "anatomic_region" in schema["$defs"]["label"]["anyOf"][1]["properties"]


def test_a_new_version_replaces_the_old_one(site: Site) -> None:
    first = site.install_model(package(top="folder/")).json()
    answer = site.install_model(package(classifier(), output=CLASSES, version="2"))
    assert (answer.status_code, answer.json()["version"]) == (200, "2")
    assert answer.json()["digest"] != first["digest"]
    assert set(site.run_model().json()["probabilities"]) == {"a", "b", "c"}
    assert site.install_model(package(b"not onnx")).status_code == 422
    assert set(site.run_model().json()["probabilities"]) == {"a", "b", "c"}
    wait_for(lambda: len(site.models) == 2)


def test_uploads_and_runs_at_once(site: Site) -> None:
    archives = [package(convolution(seed=n), model_guid=f"m{n % 2}", version=str(n)) for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(site.install_model, archives))
        assert sorted(answer.status_code for answer in answers) == [200] * 4 + [201] * 2
        runs = list(pool.map(lambda n: site.run_model(f"m{n % 2}", format="npy"), range(24)))
    assert {answer.status_code for answer in runs} == {200}
    for parity in (0, 1):
        assert len({answer.content for answer in runs[parity::2]}) == 1


def test_a_model_is_deleted_while_it_runs(site: Site) -> None:
    """Requests that began with it get their answers; the files go afterwards."""
    slow = {"max_trip_count": 3000}
    assert site.install_model(package(looping(**slow), output={"kind": "image"})).status_code == 201
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(site.run_model, format="f32") for _ in range(2)]
        time.sleep(0.1)
        assert site.client.delete("/api/models/test.model").status_code == 204
        assert [each.result().status_code for each in running] in ([200, 200], [200, 404], [404, 200])
    wait_for(lambda: site.models == [])


def looping(max_trip_count: int = 1 << 62) -> Any:
    """A network that adds 0 to its input so many times."""
    import onnx
    from onnx import TensorProto, helper

    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Add", "state zero", "next", "step")],
        "body",
        [
            helper.make_tensor_value_info("count", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    loop = onnx.helper.make_node("Loop", ["trips", "", "x"], ["y"], name="loop", body=body)
    weights = {"trips": np.array(max_trip_count, "i8"), "zero": np.zeros(1, "f4")}
    return network([loop], weights=weights, shape=(1, 1, 256, 256))


def test_an_endless_network_is_refused(site: Site) -> None:
    answer = site.install_model(package(looping(), timeout=1, output={"kind": "image"}))
    assert (answer.status_code, answer.json()["field"]) == (422, "archive")
    assert "still running after 1 s" in answer.json()["detail"]
    assert site.models == []


def greedy(pixels: int = 64) -> Any:
    """A network that makes an image of pixels**4 numbers of its input, and takes the mean of them."""
    nodes = [
        node("Reshape", "x column", "c"),
        node("Reshape", "x row", "r"),
        node("MatMul", "c r", "square", "outer"),
        node("Add", "square square", "twice", "sum"),
        node("ReduceMean", "twice", "mean", axes=[0, 1], keepdims=1),
        node("Add", "x mean", "y", "add"),
    ]
    weights = {"column": np.array([-1, 1], "i8"), "row": np.array([1, -1], "i8")}
    return network(nodes, weights=weights, shape=(1, 1, None, None))


def test_a_network_past_its_memory_limit_ends_alone(site: Site) -> None:
    """End a network alone past its limit: arrays of 64 MiB at 64 x 64 pixels, of 1.9 GiB at META.json's 150 x 150."""
    answer = site.install_model(package(greedy(), memory=1000, output={"kind": "image"}))
    assert answer.status_code == 201, answer.text
    big = {"layout": "NCHW", "size": 150}
    answer = site.install_model(package(greedy(), model_guid="big", memory=600, input=big, output={"kind": "image"}))
    assert (answer.status_code, answer.json()["field"]) == (422, "archive")
    assert "memory" in answer.json()["detail"]
    assert site.run_model(format="f32").status_code == 200


def test_a_call_past_its_memory_limit_is_told_as_such(site: Site) -> None:
    """The size is the image's own, so that only the run meets the limit."""
    size = {"layout": "NCHW", "multiple": 64}
    answer = site.install_model(package(greedy(), memory=400, input=size, output={"kind": "image"}))
    assert answer.status_code == 201, answer.text
    instance = upload_large(site, 160)
    answer = site.run_model(instance=instance, format="f32")
    assert (answer.status_code, answer.json()["code"]) == (507, "plugin_memory"), answer.text
    assert site.run_model(format="f32").status_code == 200
    site.client.delete(f"/api/instances/{instance}")


def upload_large(site: Site, side: int) -> str:
    """Upload an image of side x side pixels; answers its id."""
    import io

    import pydicom
    from pydicom.uid import generate_uid

    from tests.support.images import ct_image

    ds = pydicom.dcmread(io.BytesIO(ct_image()[1]))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Rows = ds.Columns = side
    ds.PixelData = (np.arange(side * side) % 1000).astype("i2").tobytes()
    file = io.BytesIO()
    ds.save_as(file)
    headers = {"Content-Type": "application/dicom"}
    answer = site.client.post("/api/instances", content=file.getvalue(), headers=headers)
    assert answer.status_code == 201, answer.text
    return str(ds.SOPInstanceUID)


def test_a_restart_finds_the_models_again(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    with server:
        for site in visit(server):
            model = site.install_model(package()).json()
            before = site.run_model(format="npy").content
            instance = site.instance
            server.kill()
            (server.data / "models" / "0123.zip").write_bytes(b"left by an upload that was cut off")
            folder = server.data / "models" / model["digest"]
            (folder / "model.onnx").unlink()
            (folder / "META.json").unlink()
            folder.rmdir()
            server.start()
            again = Site(server, instance)
            assert site.client is not None
            assert again.client.get("/api/models").json() == [model]
            assert again.run_model(format="npy").content == before
            assert again.models == sorted([model["digest"], f"{model['digest']}.zip"])
            site.server = server


def test_an_upload_that_is_cut_off_leaves_nothing(site: Site) -> None:
    url = httpx.URL(site.server.url)
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(
            b"POST /api/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + bytes(5000)
        )
        wait_for(lambda: len(site.models) == 1)
    wait_for(lambda: site.models == [])


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        ({"threshold": 2}, 422, "threshold"),
        ({"threshold": "x"}, 422, "threshold"),
        ({"colour": "red"}, 422, "colour"),
        ({"frame": 2}, 422, "frame"),
    ],
)
def test_wrong_parameters_are_named(site: Site, request_: dict[str, Any], status: int, field: str) -> None:
    assert site.install_model(package()).status_code == 201
    answer = site.run_model(**request_)
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_a_list_is_sorted_and_paged(site: Site) -> None:
    for name in ("b", "C", "a"):
        assert site.install_model(package(model_guid=f"id.{name}", title=name)).status_code == 201
    answer = site.client.get("/api/models", params={"sort": "-name", "limit": 2})
    assert [each["name"] for each in answer.json()] == ["C", "b"]
    assert site.client.get("/api/models", params={"sort": "colour"}).json()["field"] == "sort"


def test_a_body_without_a_model(site: Site) -> None:
    assert site.client.post("/api/models", content=b"").status_code == 400
    archive = zipped({"META.json": json.dumps(meta()), "plugin.py": "x = 1"})
    answer = site.install_model(archive)
    assert (answer.status_code, answer.json()["field"]) == (422, "archive")
    assert "no ONNX file" in answer.json()["detail"]
    two = package(identity(), files={"other.onnx": b"x"}, output={"kind": "image"})
    assert site.install_model(two).json()["field"] == "file"
    named = package(identity(), files={"other.onnx": b"x"}, output={"kind": "image"}, file="model.onnx")
    assert site.install_model(named).status_code == 201
