"""The page at `/`: links that lead somewhere, for anyone, with nothing of the server's own in it."""

import re

import httpx

from neurdicom import __version__


def test_links_lead_somewhere(anyone: httpx.Client, admin: httpx.Client) -> None:
    answer = anyone.get("/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    links = re.findall(r'href="([^"#]+)"', answer.text)
    own = [link for link in links if not link.startswith(("https:", "data:"))]
    assert own == ["api/docs", "api/openapi.json", "dicom-web", "api/health"]  # relative: a proxy may add a prefix
    for link in own:
        assert admin.get(f"/{link}").status_code == 200, link


def test_it_tells_nothing_of_the_server(anyone: httpx.Client, admin: httpx.Client) -> None:
    text = anyone.get("/").text
    assert text == admin.get("/").text
    assert __version__ not in text
    assert "{{" not in text
    assert anyone.head("/").status_code == 200
    assert anyone.post("/").status_code == 405
    assert anyone.get("/nothing").status_code == 404
