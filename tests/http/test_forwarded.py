"""Whom the server believes of the client's address, and of the address that it asked for."""

import pytest
from tornado.httputil import HTTPHeaders

from neurdicom.http.proxies import ProxyPolicy

HERE = "127.0.0.1"
INNER = "inner.example:8080"
NETWORKS = "127.0.0.0/8, ::1, 10.0.0.0/8, fd00::/8"


def seen(headers: dict[str, str], *, peer: str = HERE, trusted: str = NETWORKS, public: str = "") -> tuple[str, str]:
    """The client's address, and the URL of the server's root, of a request."""
    fields = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
    reach = ProxyPolicy(trusted, public).resolve(fields, peer=peer, scheme="http", host=fields.get("Host", INNER))
    return reach.client, reach.url


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({}, "http://inner.example:8080"),
        ({"Host": "pacs.example.org"}, "http://pacs.example.org"),
        ({"Host": "pacs.example.org:"}, "http://pacs.example.org"),
        ({"Host": "[2001:db8::1]:8443"}, "http://[2001:db8::1]:8443"),
        ({"Forwarded": "host=pacs.example.org;proto=https"}, "https://pacs.example.org"),
        ({"Forwarded": 'HOST="pacs.example.org:8443" ; Proto=HTTPS;by=_proxy'}, "https://pacs.example.org:8443"),
        ({"Forwarded": 'host="\\p\\acs.example.org"'}, "http://pacs.example.org"),
        ({"Forwarded": "host=pacs.example.org:8443;proto=https"}, "https://pacs.example.org:8443"),
        ({"Forwarded": 'host="[2001:db8::1]:8443"'}, "http://[2001:db8::1]:8443"),
        ({"Forwarded": "for=192.0.2.1;proto=https", "Host": "pacs.example.org"}, "https://pacs.example.org"),
        ({"Forwarded": "proto=https", "X_Forwarded_Host": "pacs.example.org"}, "https://pacs.example.org"),
        ({"Forwarded": ", for=192.0.2.1;;host=a.example;, "}, "http://a.example"),
        ({"X_Forwarded_Host": "pacs.example.org", "X_Forwarded_Proto": "https"}, "https://pacs.example.org"),
        ({"X_Forwarded_Host": "pacs.example.org", "X_Forwarded_Proto": "HTTPS"}, "https://pacs.example.org"),
        ({"X_Forwarded_Host": "pacs.example.org:8443", "X_Forwarded_Port": "443"}, "http://pacs.example.org:8443"),
        ({"X_Forwarded_Host": "pacs.example.org", "X_Forwarded_Port": "8443"}, "http://pacs.example.org:8443"),
        ({"X_Forwarded_Host": "[::1]", "X_Forwarded_Port": "8443"}, "http://[::1]:8443"),
        (
            {"Host": "pacs.example.org", "X_Forwarded_Proto": "https", "X_Forwarded_Port": "443"},
            "https://pacs.example.org",
        ),
        ({"Host": "pacs.example.org", "X_Forwarded_Port": "80"}, "http://pacs.example.org"),
        ({"Host": "pacs.example.org", "X_Forwarded_Prefix": "/pacs"}, "http://pacs.example.org/pacs"),
        ({"Host": "pacs.example.org", "X_Forwarded_Prefix": "/a/b/"}, "http://pacs.example.org/a/b"),
        ({"Host": "pacs.example.org", "X_Forwarded_Prefix": "/"}, "http://pacs.example.org"),
        ({"Host": "pacs.example.org", "X_Forwarded_Prefix": "/outer, /inner"}, "http://pacs.example.org/outer/inner"),
    ],
)
def test_urls_are_those_of_the_client(headers: dict[str, str], url: str) -> None:
    assert seen(headers) == (HERE if "for=" not in headers.get("Forwarded", "") else "192.0.2.1", url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("Forwarded", "X-Forwarded-Host")
            for value in (
                "pacs.example.org/evil",
                "user@pacs.example.org",
                "user:word@pacs.example.org",
                "pacs example.org",
                "pacs.example.org:0",
                "pacs.example.org:65536",
                "pacs.example.org:80a",
                "pacs.example.org:-1",
                "pacs.example.org?x",
                "pacs.example.org#x",
                "pacs.example.org\\evil",
                "[::1",
                "[1::2::3]",
                "::1",
                "<script>",
                "pacs.example.org:８０",
                "pacs.ex\xe4mple",
                "pacs.example.org\r\nX: y",
                "a" * 254,
            )
        ),
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Proto", "https://"),
        ("X-Forwarded-Proto", "http s"),
        ("X-Forwarded-Port", "0"),
        ("X-Forwarded-Port", "65536"),
        ("X-Forwarded-Port", "8443/x"),
        ("X-Forwarded-Port", "-1"),
        ("X-Forwarded-Port", "http"),
        ("X-Forwarded-Prefix", "pacs"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "/pacs//x"),
        ("X-Forwarded-Prefix", "/../x"),
        ("X-Forwarded-Prefix", "/%2e%2E/x"),
        ("X-Forwarded-Prefix", "/pacs?x"),
        ("X-Forwarded-Prefix", "/pa cs"),
        ("X-Forwarded-Prefix", "/pacs;Domain=evil.example"),
        ("X-Forwarded-Prefix", "/%zz"),
        ("X-Forwarded-Prefix", "https://evil.example/"),
        ("X-Forwarded-Prefix", "/" + "x" * 2000),
    ],
)
def test_nonsense_is_never_reflected(name: str, value: str) -> None:
    quoted = '"' + value.replace("\\", "\\\\") + '"'
    given = {"Forwarded": f"host={quoted}"} if name == "Forwarded" else {name: value}
    reach = ProxyPolicy(NETWORKS).resolve(given, peer=HERE, scheme="http", host="pacs.example.org")
    assert (reach.client, reach.url) == (HERE, "http://pacs.example.org")


@pytest.mark.parametrize(
    "value",
    [
        'for="192.0.2.1',
        "for=192.0.2.1 host=evil.example",
        "for=192.0.2.1;for=192.0.2.2;host=evil.example",
        "host=evil.example;host=pacs.example.org",
        "=192.0.2.1;host=evil.example",
        "for 192.0.2.1;host=evil.example",
        'host=evil.example, for="a"b',
        'host="evil.example\x01"',
    ],
)
def test_a_malformed_header_says_nothing(value: str) -> None:
    assert seen({"Forwarded": value}) == (HERE, "http://inner.example:8080")


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({"Forwarded": "for=192.0.2.1"}, "192.0.2.1"),
        ({"Forwarded": 'for="192.0.2.1:4711"'}, "192.0.2.1"),
        ({"Forwarded": 'For="[2001:db8::1]:4711"'}, "2001:db8::1"),
        ({"Forwarded": 'for="[2001:DB8:0::1]"'}, "2001:db8::1"),
        ({"Forwarded": 'for="192.0.2.1:_hidden"'}, "192.0.2.1"),
        ({"Forwarded": "for=198.51.100.1, for=192.0.2.1"}, "192.0.2.1"),
        ({"Forwarded": "for=192.0.2.1, for=10.1.2.3"}, "192.0.2.1"),
        ({"Forwarded": "for=evil;host=a, for=192.0.2.1, for=10.1.2.3"}, "192.0.2.1"),
        ({"Forwarded": "for=_hidden, for=10.1.2.3"}, "10.1.2.3"),
        ({"Forwarded": "for=unknown"}, HERE),
        ({"Forwarded": "for=_hidden"}, HERE),
        ({"X_Forwarded_For": "192.0.2.1"}, "192.0.2.1"),
        ({"X_Forwarded_For": "192.0.2.1:4711"}, "192.0.2.1"),
        ({"X_Forwarded_For": "2001:db8::1"}, "2001:db8::1"),
        ({"X_Forwarded_For": "[2001:db8::1]:4711"}, "2001:db8::1"),
        ({"X_Forwarded_For": "::ffff:192.0.2.1"}, "192.0.2.1"),
        ({"X_Forwarded_For": "198.51.100.1, 192.0.2.1"}, "192.0.2.1"),
        ({"X_Forwarded_For": "198.51.100.1, 192.0.2.1, fd00::7, ::ffff:10.0.0.1"}, "192.0.2.1"),
        ({"X_Forwarded_For": "10.0.0.9, 10.0.0.1"}, "10.0.0.9"),
        ({"X_Forwarded_For": "nonsense"}, HERE),
        ({"X_Forwarded_For": "192.0.2.1, nonsense, 10.0.0.1"}, "10.0.0.1"),
        ({"X_Forwarded_For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}, "192.0.2.1"),
        # One of the two has come through a proxy that does not know it.
        ({"X_Forwarded_For": "192.0.2.1", "Forwarded": "for=198.51.100.1"}, HERE),
    ],
)
def test_the_client_is_the_last_one_that_is_no_trusted_proxy(headers: dict[str, str], client: str) -> None:
    assert seen(headers)[0] == client
    assert seen(headers, public="https://example.org/pacs") == (client, "https://example.org/pacs")


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"Forwarded": "for=x;host=evil.example, for=192.0.2.1;host=pacs.example;proto=https"}, "https://pacs.example"),
        (
            {"Forwarded": "for=x;host=evil.example, for=192.0.2.1;host=pacs.example, for=10.0.0.1;host=inner"},
            "http://pacs.example",
        ),
        # What the outer proxy leaves out, the inner one may say.
        ({"Forwarded": "for=192.0.2.1;proto=https, for=10.0.0.1;host=inner;proto=http"}, "https://inner"),
        ({"X_Forwarded_For": "x, 192.0.2.1", "X_Forwarded_Host": "evil.example, pacs.example"}, "http://pacs.example"),
        (
            {
                "X_Forwarded_For": "x, 192.0.2.1, 10.0.0.1",
                "X_Forwarded_Host": "evil.example, pacs.example, inner",
                "X_Forwarded_Proto": "ftp, https, http",
                "X_Forwarded_Port": "1, 8443, 80",
            },
            "https://pacs.example:8443",
        ),
        ({"X_Forwarded_For": "192.0.2.1, 10.0.0.1", "X_Forwarded_Host": "pacs.example"}, "http://pacs.example"),
        # Nobody says how many proxies there are.
        ({"X_Forwarded_Host": "pacs.example, inner", "X_Forwarded_Proto": "https, http"}, "https://pacs.example"),
    ],
)
def test_of_several_proxies_the_outermost_trusted_one_counts(headers: dict[str, str], url: str) -> None:
    assert seen(headers)[1] == url


ALL = {
    "Forwarded": "for=192.0.2.1;host=evil.example;proto=https",
    "X_Forwarded_For": "192.0.2.1",
    "X_Forwarded_Host": "evil.example",
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Port": "8443",
    "X_Forwarded_Prefix": "/evil",
}


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("203.0.113.5", NETWORKS),
        ("203.0.113.5", "203.0.113.4, 203.0.113.6/32"),
        (HERE, ""),
        (HERE, "10.0.0.0/8"),
        ("::1", "127.0.0.1"),
        ("", NETWORKS),
    ],
)
def test_an_untrusted_peer_says_nothing(peer: str, trusted: str) -> None:
    assert seen(ALL, peer=peer, trusted=trusted) == (peer, "http://inner.example:8080")
    assert seen(ALL, peer=peer, trusted=trusted, public="http://pacs.example") == (peer, "http://pacs.example")


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("203.0.113.5", "203.0.113.0/24"),
        ("203.0.113.5", "203.0.113.7/24 ,"),
        ("203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("fe80::1%eth0", "fe80::/10"),
        ("203.0.113.5", "0.0.0.0/0"),
    ],
)
def test_a_trusted_peer_is_believed(peer: str, trusted: str) -> None:
    assert seen(ALL, peer=peer, trusted=trusted) == ("192.0.2.1", "https://evil.example/evil")


def test_the_public_url_wins() -> None:
    for public in ("https://example.org:8443/pacs", "https://example.org:8443/pacs/"):
        assert seen(ALL, public=public) == ("192.0.2.1", "https://example.org:8443/pacs")


def test_a_host_that_is_none_leaves_the_path() -> None:
    for host in ("inner.example:0", "inner.example:99999", "a@b", ""):
        reach = ProxyPolicy(NETWORKS).resolve({}, peer=HERE, scheme="http", host=host)
        assert (reach.url, reach.prefix) == ("", "")
