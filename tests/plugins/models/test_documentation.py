"""The examples in docs/models.md do what they say."""

import json
import re

from tests.support.checkout import CHECKOUT
from tests.support.networks import classifier, convolution, package
from tests.support.packages import package as plugin_package
from tests.support.packages import zipped
from tests.support.plugin_site import Site

PAGE = (CHECKOUT / "docs" / "models.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_meta_json_is_taken_and_the_plugin_runs(site: Site) -> None:
    meta = blocks("json")[0]
    archive = zipped({"META.json": meta, "lungs.onnx": convolution(3).SerializeToString()})
    answer = site.install_model(archive)
    assert (answer.status_code, answer.json()["id"]) == (201, "org.example.lungs"), answer.text
    (source,) = blocks("python")
    answer = site.install(plugin_package(source, models=["org.example.lungs"]))
    assert answer.status_code == 201, answer.text
    counts = site.run().json()
    assert list(counts) == json.loads(meta)["output"]["labels"]
    assert sum(counts.values()) == 6 * 8


def test_the_answer_of_a_classification_has_the_members_that_are_shown(site: Site) -> None:
    output = {"kind": "classification", "labels": ["CT", "MR"], "activation": "softmax"}
    assert site.install_model(package(classifier(2), output=output)).status_code == 201
    shown = json.loads(blocks("json")[1])
    found = site.run_model().json()
    assert found.keys() == shown.keys()
    assert found["probabilities"].keys() == shown["probabilities"].keys()
    assert found["top"][0].keys() == shown["top"][0].keys()


def test_every_field_of_the_schema_is_described(site: Site) -> None:
    schema = site.client.get("/api/models/schema").json()
    for part in ("input", "output"):
        for name in schema["properties"][part]["properties"]:
            assert f"`{name}`" in PAGE, f"{part}.{name}"
