"""Users over HTTP, on a server that asks for credentials."""

import re
import stat
import uuid
from collections.abc import Iterator

import httpx
import pytest

from neurdicom.security.bootstrap import FILE_NAME
from tests.support.server import Server

PASSWORD = "correct horse"


@pytest.fixture
def ann(admin: httpx.Client) -> Iterator[dict[str, object]]:
    """A user who is no administrator."""
    email = f"ann-{uuid.uuid4().hex[:8]}@example.org"
    answer = admin.post("/api/users", json={"email": email, "password": PASSWORD, "name": "Ann"})
    assert answer.status_code == 201, answer.text
    user = answer.json()
    assert answer.headers["Location"] == f"/api/users/{user['id']}"
    yield user
    assert admin.delete(f"/api/users/{user['id']}").status_code in (204, 404)


def sign_in(client: httpx.Client, user: dict[str, object], password: str = PASSWORD) -> httpx.Response:
    return client.post("/api/users/auth", json={"email": user["email"], "password": password})


def problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body.get("code"), body.get("field")) == (status, code, field)


def test_the_first_start(secured: Server, first_password: tuple[str, str]) -> None:
    email, password = first_password
    assert secured.log.count(password) == 1, "the one-time password is printed, once"
    assert email in secured.log
    assert stat.S_IMODE((secured.data / FILE_NAME).stat().st_mode) == 0o600


def test_signing_in_and_out(anyone: httpx.Client, ann: dict[str, object]) -> None:
    answer = sign_in(anyone, ann)
    assert answer.status_code == 200
    body = answer.json()
    assert body["user"] == ann and body["token_type"] == "Bearer"
    cookie = answer.headers["Set-Cookie"]
    assert re.search(r"(?i)httponly", cookie) and re.search(r"(?i)samesite=strict", cookie)
    anyone.cookies.clear()
    bearer = {"Authorization": f"Bearer {body['token']}"}
    assert anyone.get("/api/users/check", headers=bearer).json() == ann
    assert anyone.post("/api/users/logout", headers=bearer).status_code == 204
    problem(anyone.get("/api/users/check", headers=bearer), 401, "unauthenticated")


def test_the_cookie_is_for_our_own_pages(anyone: httpx.Client, ann: dict[str, object]) -> None:
    sign_in(anyone, ann)
    assert anyone.get("/api/users/check").json() == ann
    path = f"/api/users/{ann['id']}"
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        problem(anyone.put(path, json={"name": "Eve"}, headers=headers), 403, "forbidden")
    own = {"Origin": str(anyone.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert anyone.put(path, json={"name": "Anna"}, headers=own).json()["name"] == "Anna"
    cleared = anyone.post("/api/users/logout", headers=own)
    assert cleared.status_code == 204 and not anyone.cookies
    problem(anyone.get("/api/users/check"), 401, "unauthenticated")


def test_the_cookie_is_secure_where_the_page_is(anyone: httpx.Client, ann: dict[str, object]) -> None:
    body = {"email": ann["email"], "password": PASSWORD}
    origin = f"https://{anyone.base_url.host}:{anyone.base_url.port}"
    answer = anyone.post("/api/users/auth", json=body, headers={"Origin": origin})
    assert answer.status_code == 200 and "secure" in answer.headers["Set-Cookie"].lower()
    assert "secure" not in sign_in(anyone, ann).headers["Set-Cookie"].lower()


def test_another_site_signs_nobody_in(anyone: httpx.Client, ann: dict[str, object]) -> None:
    body = {"email": ann["email"], "password": PASSWORD}
    answer = anyone.post("/api/users/auth", json=body, headers={"Origin": "https://evil.example"})
    problem(answer, 403, "forbidden")


def test_wrong_passwords(anyone: httpx.Client, ann: dict[str, object]) -> None:
    answers = [sign_in(anyone, ann, "wrong password") for _ in range(6)]
    for answer in answers[:5]:
        problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    problem(answers[5], 429, "too_many_attempts")
    assert int(answers[5].headers["Retry-After"]) >= 1
    unknown = sign_in(anyone, {"email": f"nobody-{uuid.uuid4().hex}@example.org"})
    assert unknown.json() == answers[0].json(), "the answer tells nobody whether there is such a user"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{", 400, "malformed", None),
        (b"\xff", 400, "malformed", None),
        (b"[]", 422, "invalid", None),
        (b"{}", 422, "invalid", "email"),
        (b'{"email": "a@b"}', 422, "invalid", "password"),
        (b'{"email": 1, "password": "x"}', 422, "invalid", "email"),
        (b'{"email": "a@b", "password": "x", "remember": true}', 422, "invalid", "remember"),
    ],
)
def test_sign_in_bodies(anyone: httpx.Client, body: bytes, status: int, code: str, field: str | None) -> None:
    problem(anyone.post("/api/users/auth", content=body), status, code, field)


def test_only_administrators_manage_users(anyone: httpx.Client, ann: dict[str, object], admin: httpx.Client) -> None:
    bearer = {"Authorization": f"Bearer {sign_in(anyone, ann).json()['token']}"}
    me = f"/api/users/{ann['id']}"
    other = f"/api/users/{admin.get('/api/users/check').json()['id']}"
    assert anyone.get(me, headers=bearer).json() == ann
    problem(anyone.get(other, headers=bearer), 403, "forbidden")
    problem(anyone.get("/api/users", headers=bearer), 403, "forbidden")
    problem(anyone.post("/api/users", json={}, headers=bearer), 403, "forbidden")
    problem(anyone.put(other, json={"name": "x"}, headers=bearer), 403, "forbidden")
    problem(anyone.put(me, json={"is_admin": True}, headers=bearer), 403, "forbidden")
    problem(anyone.delete(me, headers=bearer), 403, "forbidden")
    problem(anyone.put(me, json={"password": "another one"}, headers=bearer), 422, "invalid", "current_password")
    changed = {"password": "another one", "current_password": PASSWORD}
    assert anyone.put(me, json=changed, headers=bearer).status_code == 200
    assert sign_in(anyone, ann, "another one").status_code == 200


def test_managing_users(admin: httpx.Client, ann: dict[str, object]) -> None:
    path = f"/api/users/{ann['id']}"
    assert ann in admin.get("/api/users").json()
    assert admin.get(path).json() == ann
    answer = admin.put(path, json={"surname": "Ångström", "is_admin": True})
    assert answer.json() == {**ann, "surname": "Ångström", "is_admin": True}
    again = {"email": str(ann["email"]).upper(), "password": PASSWORD}
    problem(admin.post("/api/users", json=again), 409, "conflict", "email")
    problem(admin.put(path, json={"password": "short"}), 422, "invalid", "password")
    problem(admin.put(path, json={"colour": "red"}), 422, "invalid", "colour")
    assert admin.delete(path).status_code == 204
    problem(admin.get(path), 404, "not_found")
    problem(admin.put(path, json={}), 404, "not_found")
    problem(admin.delete(path), 404, "not_found")


def test_administrators_need_no_current_password(admin: httpx.Client, ann: dict[str, object]) -> None:
    """Ignore `current_password` of an administrator, whatever it is."""
    for ignored in (None, 7, ["x"], "wrong"):
        answer = admin.put(f"/api/users/{ann['id']}", json={"name": "Ann", "current_password": ignored})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("around", [" ", "\t", "\xa0", "\u3000", "\r\n"])
def test_spaces_around_an_address_are_dropped(admin: httpx.Client, ann: dict[str, object], around: str) -> None:
    given = {"email": f"{around}{ann['email']}{around}"}
    answer = admin.put(f"/api/users/{ann['id']}", json=given)
    assert (answer.status_code, answer.json()["email"]) == (200, ann["email"])
    inside = {"email": str(ann["email"]).replace("@", f"{around}@")}
    problem(admin.put(f"/api/users/{ann['id']}", json=inside), 422, "invalid", "email")


def test_the_last_administrator_stays(admin: httpx.Client) -> None:
    path = f"/api/users/{admin.get('/api/users/check').json()['id']}"
    problem(admin.delete(path), 409, "conflict")
    problem(admin.put(path, json={"is_admin": False}), 409, "conflict")
