"""The description is of the live routes, complete and consistent."""

import re
from typing import Any

import httpx
import pytest

from neurdicom.http.operation import Operation

PUBLIC = {("get", "/"), ("get", "/api/health"), ("get", "/api/health/live"), ("post", "/api/users/auth")}
ADMINISTRATORS = {
    ("post", "/api/rules"),
    ("put", "/api/rules/{id}"),
    ("delete", "/api/rules/{id}"),
    ("delete", "/api/dicom_nodes/{id}"),
    ("post", "/api/dicom_nodes"),
    ("put", "/api/dicom_nodes/{id}"),
    ("get", "/api/users"),
    ("post", "/api/users"),
    ("delete", "/api/users/{id}"),
    ("post", "/api/plugins"),
    ("post", "/api/models"),
    ("delete", "/api/models/{id}"),
    ("delete", "/api/plugins/{id}"),
    ("get", "/api/storage"),
    ("post", "/api/storage/verify"),
}


@pytest.fixture
def description(admin: httpx.Client) -> dict[str, Any]:
    answer = admin.get("/api/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def operations(description: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }


def path_of(template: str) -> str:
    return re.sub(r"\{\w+\}", "1.2.3", template)


def test_operations_are_described(description: dict[str, Any]) -> None:
    assert description["openapi"] == "3.1.0"
    assert all(tag["description"] for tag in description["tags"]), "say what the routes of a tag are about"
    found = operations(description)
    ids = [operation["operationId"] for operation in found.values()]
    assert len(set(ids)) == len(ids)
    for (method, path), operation in found.items():
        names = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert names == set(re.findall(r"\{(\w+)\}", path))
        assert all(each.get("description") for each in operation["parameters"]), (method, path)
        assert operation["summary"] and operation["tags"][0] in {tag["name"] for tag in description["tags"]}
        assert any(status.startswith("2") for status in operation["responses"]), (method, path)
        assert all(response["description"] for response in operation["responses"].values())


def test_references_lead_somewhere(description: dict[str, Any]) -> None:
    def check(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                target: Any = description
                for step in node["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
            for child in node.values():
                check(child)
        elif isinstance(node, list):
            for child in node:
                check(child)

    check(description)


def test_everything_but_health_and_sign_in_needs_a_credential(
    description: dict[str, Any], anyone: httpx.Client
) -> None:
    found = operations(description)
    assert {key for key, operation in found.items() if operation["x-access"] == "public"} == PUBLIC
    for method, path in found.keys() - PUBLIC:
        for headers in ({}, {"Authorization": "Bearer nd_wrong"}, {"Cookie": "neurdicom_session=nd_wrong"}):
            answer = anyone.request(method, path_of(path), headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.json()["code"] == "unauthenticated"


def test_what_is_for_administrators(description: dict[str, Any]) -> None:
    found = operations(description)
    assert {key for key, operation in found.items() if operation["x-access"] == "admin"} == ADMINISTRATORS


def test_other_methods_are_refused_by_name(description: dict[str, Any], admin: httpx.Client) -> None:
    for path, methods in description["paths"].items():
        for method in {"get", "post", "put", "delete", "options", "patch"} - methods.keys():
            answer = admin.request(method, path_of(path))
            allowed = {each.strip().lower() for each in answer.headers["Allow"].split(",")}
            assert answer.status_code == 405 and allowed - {"head"} == set(methods), (method, path)


def test_unknown_query_parameters_are_refused(description: dict[str, Any], admin: httpx.Client) -> None:
    for method, path in operations(description):
        # DICOMweb has servers ignore what they don't know (PS3.18 8.3).
        if method == "get" and path.startswith("/api/"):
            answer = admin.get(path_of(path), params={"no_such_parameter": "1"})
            assert answer.status_code in (404, 422), path
            if answer.status_code == 422:
                assert answer.json()["field"] == "no_such_parameter"


def test_json_that_would_not_be_checked_is_no_operation() -> None:
    with pytest.raises(ValueError, match="JSON is declared as `json`"):
        Operation("Do it", tag="x", body={"application/json": {"type": "object"}})
