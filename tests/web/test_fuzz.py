"""Requests generated from the description, valid and not: no answer outside of what it promises, and never a 500."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from schemathesis import GenerationMode, checks

from tests.support.openapi import OPERATIONS
from tests.support.server import Server

checks.load_all_checks()

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that anything may be done to."""
    with Server(tmp_path_factory.mktemp("fuzzed")) as running:
        yield running


#: Headers that say where a message ends: one that lies there is refused before there is a request to answer.
FRAMING = ("content-length", "transfer-encoding")


@pytest.fixture
def ids(fuzzed: Server) -> dict[str, str]:
    """Ids of a real instance and of a job, by the names that they have in paths and queries."""
    content = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    answer = fuzzed.client.post("/api/instances", content=content, headers={"Content-Type": "application/dicom"})
    (result,) = answer.json()["results"]
    instance = fuzzed.client.get(f"/api/instances/{result['id']}").json()
    found = {"instance": result["id"], "study": result["study"], "series": result["series"]}
    fuzzed.client.post("/api/dicom_nodes", json={"name": "n", "protocol": "DICOMWEB", "url": "http://127.0.0.1:9"})
    job = fuzzed.client.post("/api/dicom_nodes/n/send", json={"instances": [result["id"]]}).json()["id"]
    found |= {"jobs": job}  # not the node: what it does not answer is a 502
    return found | {"instances": result["id"], "studies": result["study"], "patients": instance["patient"]}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_answers_keep_to_the_description(
    fuzzed: Server, ids: dict[str, str], operation: schemathesis.schemas.APIOperation
) -> None:
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @given(case=cases, real=st.booleans())
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def run(case: schemathesis.Case, real: bool) -> None:
        resource = operation.path.rpartition("/{id}")[0].rpartition("/")[2]
        if real and not operation.path.endswith("/events"):  # which lasts as long as the job
            known = ids | {"id": ids[resource]} if resource in ids else ids
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        for name in [name for name in case.headers if name.lower() in FRAMING]:
            del case.headers[name]
        case.call_and_validate(base_url=fuzzed.url, checks=CHECKS, timeout=60)

    run()
