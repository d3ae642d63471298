"""Requests generated from the description, valid and not: no answer outside of what it promises, and never a 500.

What the description allows is taken, and what it does not is refused; exceptions stand below with their reasons.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from schemathesis import GenerationMode, checks

from tests.support.api import upload
from tests.support.colliding import LEVELS, collision
from tests.support.openapi import OPERATIONS, RELATED
from tests.support.server import Server

checks.load_all_checks()

Operation = schemathesis.schemas.APIOperation

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.positive_data_acceptance,
    checks.negative_data_rejection,
]


#: Parameters of queries that say in what form the answer is wanted.
FORMS = {"accept", "contentType", "transfer_syntax", "transferSyntax"}


def query_of(response: schemathesis.Response) -> dict[str, list[str]]:
    """The query as it was sent."""
    return parse_qs(urlsplit(str(response.request.url)).query, keep_blank_values=True)


def names_form(operation: Operation, response: schemathesis.Response) -> bool:
    described = {each.name for each in operation.query} & FORMS
    return not described.isdisjoint(query_of(response)) or response.request.headers["Accept"] != "*/*"


def names_tool(operation: Operation, response: schemathesis.Response) -> bool:
    return "/rules" in operation.path and response.json().get("field") in ("action.plugin", "action.model")


def is_no_dicom(operation: Operation, response: schemathesis.Response) -> bool:
    return operation.path in ("/api/instances", "/api/instances/upload") and response.json()["code"] == "not_dicom"


def by_field(path: str, *fields: str) -> Callable[[Operation, schemathesis.Response], bool]:
    return lambda operation, response: operation.path.endswith(path) and response.json().get("field") in fields


#: Refusals of what the description allows, beside 401, 403, 404, 409 and 429: the statuses, of which answers, and why.
REFUSALS: list[tuple[set[int], Callable[[Operation, schemathesis.Response], bool], str]] = [
    ({415}, is_no_dicom, "JSON Schema does not say what a DICOM file is"),
    ({422}, by_field("/plugins", "archive", "META.json"), "JSON Schema does not say what the ZIP of a plugin is"),
    ({422}, by_field("/models", "archive", "META.json"), "nor that of a model"),
    ({406}, names_form, "media types and transfer syntaxes are text that any other server may know"),
    ({422}, names_tool, "a rule names what is to run, and nothing is installed"),
    ({422}, by_field("/dicom_nodes/{id}", "name", "id"), "a node keeps its name, which the path has"),
    ({400, 422}, by_field("", "frame"), "how many frames an instance has is in its file"),
    ({400, 422}, by_field("", "viewport", "width"), "what a picture shows and how large it gets depends on the image"),
    ({422}, by_field("/file", "original"), "a parameter of the query can't exclude another one"),
    ({502}, lambda operation, _: "/dicom_nodes/{id}/" in operation.path, "the node that was made does not answer"),
]


def is_explained(operation: Operation, response: schemathesis.Response) -> bool:
    return any(response.status_code in statuses and applies(operation, response) for statuses, applies, _ in REFUSALS)


def lacks_parameter(case: schemathesis.Case, response: schemathesis.Response) -> bool:
    """Whether a described parameter never reached the server, as an empty list: without it the request may be right."""
    sent = query_of(response)
    return any(each.name in case.query and each.name not in sent for each in case.operation.query)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that anything may be done to."""
    with Server(tmp_path_factory.mktemp("fuzzed")) as running:
        yield running


#: Levels with their names in routes, and those above an instance whose ids are UIDs.
MANY = {"patient": "patients", "study": "studies", "instance": "instances"}  # series is its own plural
ABOVE = {"study": "studies", "series": "series"}

#: Headers that say where a message ends: one that lies there is refused before there is a request to answer.
FRAMING = ("content-length", "transfer-encoding")


@pytest.fixture
def ids(fuzzed: Server) -> list[dict[str, str]]:
    """Ids of real entities and of a job, by the names that they have in paths and queries: UIDs, keys, UIDs of two."""
    file = Path(get_testdata_file("CT_small.dcm"))
    upload(fuzzed.client, file)
    for one in (made := collision("PatientID")).both:
        upload(fuzzed.client, one.file)
    # By what no request changes: it may have been moved to another study or patient.
    uid = str(pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
    (found,) = fuzzed.client.get("/api/instances", params={"sop_instance_uid": uid}).json()
    fuzzed.client.post("/api/dicom_nodes", json={"name": "n", "protocol": "DICOMWEB", "url": "http://127.0.0.1:9"})
    job = fuzzed.client.post("/api/dicom_nodes/n/send", json={"instances": [found["id"]]}).json()["id"]
    above = {level: fuzzed.client.get(f"/api/{many}/{found[level]}").json()["key"] for level, many in ABOVE.items()}
    named = [
        {"study": found["study"], "series": found["series"], "instance": found["id"], "patient": found["patient"]},
        above | {"instance": found["key"], "patient": found["patient"]},
        {level: made.first.key(level) for level in LEVELS} | {"patient": made.first.patient},
        {level: made.first.uid(level) for level in LEVELS} | {"patient": made.first.patient},
    ]
    # Not the node: what it does not answer is a 502.
    return [each | {many: each[level] for level, many in MANY.items()} | {"jobs": job} for each in named]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_answers_keep_to_the_description(fuzzed: Server, ids: list[dict[str, str]], operation: Operation) -> None:
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @given(case=cases, real=st.one_of(st.none(), st.sampled_from(ids)))
    @settings(max_examples=settings().max_examples // 5, deadline=None, suppress_health_check=list(HealthCheck))
    def run(case: schemathesis.Case, real: dict[str, str] | None) -> None:
        resource = operation.path.rpartition("/{id}")[0].rpartition("/")[2]
        if real is not None and not operation.path.endswith("/events"):  # which lasts as long as the job
            known = real | {"id": real[resource]} if resource in real else real
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        for name in [name for name in case.headers if name.lower() in FRAMING]:
            del case.headers[name]
        if case.media_type == "multipart/related":
            case.headers["Content-Type"] = RELATED
        response = case.call(base_url=fuzzed.url, timeout=60)
        left_out = set()
        if is_explained(operation, response):
            left_out |= {checks.positive_data_acceptance, checks.not_a_server_error}
        if lacks_parameter(case, response):
            left_out.add(checks.negative_data_rejection)
        case.validate_response(response, checks=[each for each in CHECKS if each not in left_out])

    run()
