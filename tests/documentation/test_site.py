"""`make docs` builds the site strictly and offline, and the checks find what they are for."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import sync_playwright

from tests.support.checkout import CHECKOUT

DOCS = CHECKOUT / "docs"
MERMAID = CHECKOUT / ".mermaid"
#: Of the architecture's page.
DIAGRAMS = 4

TOOLS = ("zensical", "mkdocstrings", "mkdocstrings_handlers")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a network."""
    if not all(map(find_spec, TOOLS)) or not MERMAID.exists():
        pytest.skip("the site's tools are missing: pip install -e '.[docs]' and `make mermaid` bring them")
    output = tmp_path_factory.mktemp("site")
    nowhere = {f"{name}_proxy": "http://127.0.0.1:9" for name in ("http", "https", "HTTP", "HTTPS")}
    done = subprocess.run(
        [sys.executable, DOCS / "build.py", "--output", output],
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "docs"


def test_the_site_has_all_parts(site: Path) -> None:
    for page in DOCS.rglob("*.md"):  # under the paths that texts of the program name
        assert (site / page.relative_to(DOCS)).with_suffix(".html").exists(), page
    assert 'id="get_studies"' in (site / "rest-reference" / "studies.html").read_text(encoding="utf-8")
    assert "neurdicom.client.Client" in (site / "reference" / "client.html").read_text(encoding="utf-8")


def test_diagrams_are_drawn_and_no_other_host_is_asked(site: Path) -> None:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not on the PATH (Debian: apt-get install chromium)")
    asked, errors = set(), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.add(request.url.partition(":")[0]))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((site / "architecture.html").as_uri())
        # The theme puts a drawing in the place of each text, in a shadow root that selectors do not enter.
        drawn = "[...document.querySelectorAll('div.mermaid')].filter(each => each.clientHeight > 100).length"
        page.wait_for_function(f"{drawn} == {DIAGRAMS}", timeout=60_000)
        page.goto((site / "index.html").as_uri())
        page.wait_for_function("document.images[0].naturalWidth > 100")
        browser.close()
    assert errors == []
    assert asked <= {"file", "data", "blob"}


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that checks links; scripts of docs/ find each other from there."""
    monkeypatch.syspath_prepend(DOCS)
    return import_module("builder.links")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="absent.html">x</a>', "page.html: absent.html leads to no file"),
        ('<a href="other.html#absent">x</a>', "page.html: other.html#absent leads to no heading"),
        ('<a href="#absent">x</a>', "page.html: #absent leads to no heading"),
        ('<img src="picture.png">', "page.html: picture.png leads to no file"),
        ('<script src="https://cdn.example.org/a.js"></script>', "page.html: .* would be fetched from another host"),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', "page.html: .* would be fetched from another"),
        ('<a href="https://example.org/new">x</a>', "page.html: https://example.org/new is not in external-links.md"),
        ("", "external-links.md: no page has a link to https://example.org/listed"),
    ],
)
def test_faults_of_links_are_found(
    links: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, problem: str
) -> None:
    monkeypatch.setattr(links, "LIST", tmp_path / "external-links.md")
    links.LIST.write_text(
        "| link | last |\n|---|---|\n| <https://example.org/listed> | 2026-11-30 |\n", encoding="utf-8"
    )
    site = tmp_path / "site"
    site.mkdir()
    listed = '<a href="https://example.org/listed">x</a>'
    (site / "other.html").write_text(f'<h1 id="there">x</h1>{listed if body else ""}', encoding="utf-8")
    (site / "page.html").write_text('<a href="other.html#there">x</a>' + body, encoding="utf-8")
    with pytest.raises(links.BuildError, match=problem) as raised:
        links.check_site(site)
    assert len(raised.value.problems) == 1 + problem.count("another")


def test_external_links_have_the_day_of_the_last_look(links: ModuleType) -> None:
    for url, looked in links.listed_links().items():
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}|not yet", looked), url


def test_links_lead_to_pages_or_to_the_repository(
    links: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = import_module("builder.pages")
    docs = tmp_path / "docs"
    (docs / "decisions").mkdir(parents=True)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "code.py").touch()
    (tmp_path / "README.md").write_text("[a](docs/a.md#x) [d](docs/decisions)", encoding="utf-8")
    (docs / "decisions" / "index.md").write_text("[start](../../README.md) [made](../made.md)", encoding="utf-8")
    text = "[p](../plugins) [c](../code.py) [web](https://example.org)\n```\n[none](absent.md)\n```\n"
    (docs / "a.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(pages, "DOCS", docs)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    stage = pages.Stage(tmp_path / "stage", {"made.md": "# Made"})
    stage.fill()
    staged = {path.relative_to(stage.folder).as_posix(): path.read_text() for path in stage.folder.rglob("*.md")}
    assert staged == {
        "index.md": "[a](a.md#x) [d](decisions/index.md)",
        "decisions/index.md": "[start](../index.md) [made](../made.md)",
        "a.md": text.replace("../plugins", f"{pages.REPOSITORY}/tree/main/plugins").replace(
            "../code.py", f"{pages.REPOSITORY}/blob/main/code.py"
        ),
        "made.md": "# Made",
    }
    (docs / "a.md").write_text("[b](absent.md)", encoding="utf-8")
    with pytest.raises(pages.BuildError, match=r"docs/a\.md: the link absent\.md leads to no file"):
        pages.Stage(tmp_path / "stage", {}).fill()
