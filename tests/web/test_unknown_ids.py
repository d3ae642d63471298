"""Requests about what does not exist: they are answered with 404, whatever their body is."""

import pytest

from neurdicom.app.server import ROUTES
from neurdicom.http.base import ApiHandler
from tests.support.server import Server


def declared() -> list[tuple[str, str]]:
    """List methods and paths of operations that take JSON and whose path names something."""
    return [
        (method, route.path)
        for route in ROUTES
        for method, described in route.operations().items()
        if described.json is not None and route.names
    ]


@pytest.mark.parametrize(("method", "path"), declared())
def test_an_unknown_id_goes_before_a_wrong_body(server: Server, method: str, path: str) -> None:
    unknown = "/".join("1.2.3.4" if part.startswith("{") else part for part in path.split("/"))
    for body in (b"[", b"[]", b'{"no such field": 1}', b"{}"):
        answer = server.client.request(method, unknown, content=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.text


def test_handlers_say_what_their_paths_name() -> None:
    """Fail for a handler that takes a body, names something in its path, and looks for it too late."""
    for route in ROUTES:
        takes_json = any(described.json is not None for described in route.operations().values())
        if takes_json and route.names:
            assert route.handler.check_path is not ApiHandler.check_path, route.path
