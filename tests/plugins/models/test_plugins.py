"""Plugins that reach models by name."""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from tests.support.networks import classifier, convolution, package
from tests.support.packages import package as plugin_package
from tests.support.plugin_site import PLUGIN, Site
from tests.support.waiting import wait_for

BY = {"by": {"type": "text", "default": "dataset"}}
CLASSES = {"kind": "classification", "labels": ["a", "b", "c"], "activation": "softmax"}


def test_a_plugin_gets_what_by_model_gives(site: Site) -> None:
    assert site.install_model(package()).status_code == 201
    answer = site.install(plugin_package(PLUGIN, params=BY, models=["test.model"]))
    assert answer.status_code == 201, answer.text
    expected = site.run_model(format="npy").content
    for by in ("dataset", "array"):
        answer = site.run(by=by, format="npy")
        assert (answer.status_code, answer.content) == (200, expected), answer.text
    assert site.install_model(package(classifier(), output=CLASSES)).status_code == 200
    for by in ("dataset", "array"):
        assert site.run(by=by).json() == site.run_model().json()


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtdose.dcm", "examples_palette.dcm", "examples_ybr_color.dcm"])
def test_datasets_of_many_kinds_give_what_by_model_gives(site: Site, name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    uid = pydicom.dcmread(path).SOPInstanceUID
    site.client.post("/api/instances", content=path.read_bytes(), headers={"Content-Type": "application/dicom"})
    try:
        specs: list[dict[str, Any]] = [
            {"channels": 3},
            {"window": "dicom", "size": 40},
            {"values": "stored", "size": [50, 40]},
        ]
        for spec in specs:
            made = package(convolution(2, channels=spec.get("channels", 1)), input=spec, output={"kind": "image"})
            assert site.install_model(made).status_code in (200, 201)
            answer = site.install(plugin_package(PLUGIN, models=["test.model"], result={"type": "IMAGE"}))
            assert answer.status_code in (200, 201), answer.text
            expected = site.run_model(instance=uid, format="npy")
            assert expected.status_code == 200, expected.text
            path_ = f"/api/instances/{uid}/process/by_plugin/test.plugin"
            found = site.client.get(path_, params={"format": "npy"})
            assert found.status_code == 200, found.text
            np.testing.assert_array_equal(np.load(io.BytesIO(found.content)), np.load(io.BytesIO(expected.content)))
    finally:
        assert site.client.delete(f"/api/instances/{uid}").status_code == 204


def test_models_go_by_name_as_well(site: Site) -> None:
    source = PLUGIN.replace("test.model", "Test model")
    assert site.install_model(package()).status_code == 201
    assert site.install(plugin_package(source, models=["Test model"])).status_code == 201
    assert site.run(format="npy").content == site.run_model(format="npy").content
    assert site.install_model(package(convolution(seed=3), model_guid="another")).status_code == 201
    answer = site.run()
    assert answer.status_code == 409
    assert "'another', 'test.model'" in answer.json()["detail"]


def test_a_model_that_is_missing_is_named(site: Site) -> None:
    answer = site.install(plugin_package(PLUGIN, models=["test.model"]))
    assert (answer.status_code, answer.json()["field"]) == (422, "models.0")
    assert "the model 'test.model' is not installed" in answer.json()["detail"]
    assert site.packages == []
    assert site.install_model(package()).status_code == 201
    unnamed = PLUGIN.replace('["test.model"]', '["other"]')
    answer = site.install(plugin_package(unnamed, models=["test.model"]))
    assert (answer.status_code, answer.json()["field"]) == (422, "archive")
    assert "do not name 'other'; they name test.model" in answer.json()["detail"]
    assert site.install(plugin_package(PLUGIN, models=["test.model"])).status_code == 201
    assert site.client.delete("/api/models/test.model").status_code == 204
    answer = site.run()
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "the model 'test.model' is not installed" in answer.json()["detail"]
    assert site.client.get("/api/plugins/test.plugin").json()["state"] == "ready"
    assert site.install_model(package()).status_code == 201
    assert site.run().status_code == 200


def test_a_new_version_of_the_model_reaches_the_plugin(site: Site) -> None:
    assert site.install_model(package(convolution(seed=0))).status_code == 201
    assert site.install(plugin_package(PLUGIN, models=["test.model"])).status_code == 201
    before = site.run(format="npy").content
    assert site.install_model(package(convolution(seed=7))).status_code == 200
    after = site.run(format="npy").content
    assert after != before
    assert after == site.run_model(format="npy").content
    wait_for(lambda: len(site.models) == 2)


def test_a_model_stays_while_a_plugin_runs_with_it(site: Site) -> None:
    source = PLUGIN.replace(
        'if by == "dataset":', 'if by == "slow": import time; time.sleep(1)\n        if by != "array":'
    )
    source = source.replace("return self.model.run(ds)", "from pathlib import Path\n            "
                            "return {'there': self.model._network.file.exists()}")  # fmt: skip
    assert site.install_model(package()).status_code == 201
    assert site.install(plugin_package(source, params=BY, models=["test.model"])).status_code == 201
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(site.run, by="slow")
        time.sleep(0.4)
        assert site.client.delete("/api/models/test.model").status_code == 204
        assert running.result().json() == {"there": True}
    wait_for(lambda: site.models == [])


def test_what_is_wrong_with_a_call_is_told(site: Site) -> None:
    source = PLUGIN.replace("self.model.run(ds)", "self.model.run('text')")
    assert site.install_model(package()).status_code == 201
    assert site.install(plugin_package(source, models=["test.model"])).status_code == 201
    answer = site.run()
    assert answer.status_code == 500
    assert "was given str; a Dataset or an array is expected" in answer.json()["detail"]
    assert site.install(plugin_package(source.replace("'text'", "[1, 2]"), models=["test.model"])).status_code == 200
    answer = site.run()
    assert answer.status_code == 406
    assert "shape [2]" in answer.json()["detail"]


def test_a_plugin_without_models_has_none(site: Site) -> None:
    source = "class Plugin:\n    def process(self, ds): return {'models': hasattr(self, 'models')}"
    assert site.install(plugin_package(source)).status_code == 201
    assert site.run().json() == {"models": False}
    assert json.loads(site.run().content) == {"models": False}


def test_shapes_of_any_kind(site: Site) -> None:
    source = """
import numpy as np

class Plugin:
    def process(self, ds):
        model = self.models["test.model"]
        return {"labels": model.labels, "name": model.name, "shape": model.run(np.zeros((33, 7))).shape,
                "names": list(self.models), "other": self.models.get("other"), "has": "other" in self.models}
"""
    assert site.install_model(package()).status_code == 201
    assert site.install(plugin_package(source, models=["test.model"])).status_code == 201
    assert site.run().json() == {
        "labels": ["background", "one", "two"],
        "name": "Test model",
        "shape": [33, 7],
        "names": ["test.model"],
        "other": None,
        "has": False,
    }
    assert np.load(io.BytesIO(site.run_model(format="npy").content)).shape == (6, 8)
