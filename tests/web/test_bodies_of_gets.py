"""GET requests with a body, to which HTTP gives no meaning (RFC 9110 9.3.1): an answer as without it, or a refusal."""

from collections.abc import Iterator

import httpx
import pytest

from neurdicom.app.server import ROUTES
from tests.support.api import install, upload
from tests.support.colliding import LEVELS, instance
from tests.support.results import Counter
from tests.support.server import Server

PLUGIN = "test.bodies"
BODIES = {
    "application/json": b'{"no such": 1}',
    "application/x-www-form-urlencoded": b"give=image",
    "": b"[",
    "a/b": b"",
}
PATHS = sorted(route.path for route in ROUTES if "get" in route.operations())


@pytest.fixture(scope="module")
def ids(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What is there, by the part of a path before its id."""
    one = instance()
    upload(server.client, one.file)
    install(server.client, Counter(tmp_path_factory.mktemp("calls") / "calls").archive(PLUGIN))
    found = {name: one.uid(level) for level, (name, *_) in LEVELS.items()}
    yield found | {"patients": one.patient, "by_plugin": PLUGIN, "plugins": PLUGIN, "frames": "1"}
    server.client.delete(f"/api/plugins/{PLUGIN}")


def filled(path: str, ids: dict[str, str]) -> str:
    parts = path.split("/")
    names = zip(["", *parts], parts, strict=False)
    return "/".join(ids.get(before, "1.2.3.4") if part.startswith("{") else part for before, part in names)


def get(server: Server, path: str, media_type: str = "", body: bytes = b"") -> httpx.Response:
    """Ask, and read no more than the beginning of an answer, which may have no end."""
    headers = {"Content-Type": media_type} if media_type else {}
    request = server.client.build_request("GET", path, headers=headers, content=body)
    answer = server.client.send(request, stream=True)
    answer.close()
    return answer


@pytest.mark.parametrize("path", [path for path in PATHS if "/process/" not in path])
def test_a_body_changes_nothing(server: Server, ids: dict[str, str], path: str) -> None:
    expected = get(server, filled(path, ids)).status_code
    assert expected < 500
    for media_type, body in BODIES.items():
        assert get(server, filled(path, ids), media_type, body).status_code == expected, media_type


@pytest.mark.parametrize("path", [path for path in PATHS if "/process/" in path])
def test_parameters_in_a_body_are_refused(server: Server, ids: dict[str, str], path: str) -> None:
    """They would be ignored, and the result would be one of other parameters."""
    for media_type, body in BODIES.items():
        answer = server.client.request("GET", filled(path, ids), headers={"Content-Type": media_type}, content=body)
        if not body:
            assert answer.status_code in (200, 404), answer.text
        elif path.endswith("by_plugin/{plugin_id}"):
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), answer.text
            assert "POST" in answer.json()["detail"]
        else:
            assert answer.status_code in (400, 404), answer.text
