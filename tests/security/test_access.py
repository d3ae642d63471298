"""The table of access, and where a browser's request may come from."""

import pytest

from neurdicom.errors import Forbidden, Unauthenticated
from neurdicom.security.access import Access, Principal, check_access, check_self_or_admin
from neurdicom.security.authentication import bearer_token
from neurdicom.security.origin import check_loopback_host, check_origin

USER = Principal("u1", "user@example.org")
ADMIN = Principal("a1", "admin@example.org", is_admin=True)


@pytest.mark.parametrize(
    ("access", "principal"),
    [
        (Access.PUBLIC, None),
        (Access.PUBLIC, USER),
        (Access.USER, USER),
        (Access.USER, ADMIN),
        (Access.ADMIN, ADMIN),
    ],
)
def test_passes(access: Access, principal: Principal | None) -> None:
    check_access(access, principal)


@pytest.mark.parametrize(
    ("access", "principal", "error"),
    [
        (Access.USER, None, Unauthenticated),
        (Access.ADMIN, None, Unauthenticated),
        (Access.ADMIN, USER, Forbidden),
    ],
)
def test_refuses(access: Access, principal: Principal | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_access(access, principal)


def test_own_account_or_administrator() -> None:
    assert check_self_or_admin(USER, "u1") is USER
    assert check_self_or_admin(ADMIN, "u1") is ADMIN
    with pytest.raises(Forbidden):
        check_self_or_admin(USER, "a1")
    with pytest.raises(Unauthenticated):
        check_self_or_admin(None, "u1")


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", ""),
        ("", None),
        ("abc", None),
    ],
)
def test_bearer_header(header: str, token: str | None) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize(
    ("method", "origin", "site"),
    [
        ("GET", "https://evil.example", "cross-site"),
        ("POST", "http://pacs.example:8080", None),
        ("POST", "https://PACS.example:8080", "same-origin"),
        ("DELETE", None, "same-origin"),
        ("PUT", None, "none"),
        ("POST", None, None),
    ],
)
def test_own_pages_and_programs_may(method: str, origin: str | None, site: str | None) -> None:
    check_origin(method, host="pacs.example:8080", origin=origin, fetch_site=site)


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("https://evil.example", None),
        ("http://pacs.example:9090", None),
        ("http://pacs.example:8080.evil.example", "same-origin"),
        ("http://x.pacs.example:8080", "same-site"),
        ("null", "cross-site"),
        ("", None),
        ("http://[", None),
        (None, "cross-site"),
        (None, "same-site"),
    ],
)
def test_other_sites_may_not(origin: str | None, site: str | None) -> None:
    with pytest.raises(Forbidden):
        check_origin("POST", host="pacs.example:8080", origin=origin, fetch_site=site)


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "127.3.2.1", "[::1]:8080"])
def test_loopback_hosts(host: str) -> None:
    check_loopback_host(host)


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example", "10.0.0.1:8080", "[", "localhost@evil"])
def test_other_hosts(host: str) -> None:
    with pytest.raises(Forbidden):
        check_loopback_host(host)
