"""Each page of the documentation is in the site's navigation, its links lead somewhere, and the tutorial fits the code.

What is cheap of tests/documentation/test_site.py, so that it is looked at with every change.
"""

import ast
import re
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import tutorial
from tests.support.checkout import CHECKOUT

DOCS = CHECKOUT / "docs"


def test_each_page_is_in_the_navigation() -> None:
    navigation = re.findall(r"^ +- (\S+\.md)$", (DOCS / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    root = {page.name.lower().replace("_", "-") for page in CHECKOUT.glob("*.md")} - {"readme.md"} | {"index.md"}
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    absent = (root | pages) - set(navigation)
    assert not absent, f"put {sorted(absent)} into the navigation of docs/mkdocs.yml"


def test_links_lead_to_files_or_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    pages, links = import_module("builder.pages"), import_module("builder.links")
    stage = pages.Stage(
        tmp_path, dict.fromkeys(("reference/neurdicom_plugin-h.md", "reference/neurdicom_plugin-hpp.md"), "")
    )
    stage.fill()
    listed = links.listed_links()
    for page in tmp_path.rglob("*.md"):
        text = re.sub(r"^```.*?^```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for url in re.findall(r"(?:\]\(|<)(https?://[^)>\s#]+)", text):
            known = url in listed or url.startswith(pages.REPOSITORY)
            assert known, f"{page.relative_to(tmp_path)} has a link to {url}: add it to docs/external-links.md"


def test_the_changes_of_the_tutorial_fit_the_code(tmp_path: Path) -> None:
    """Apply the tutorial's changes to a copy; tests/documentation/test_tutorial.py runs them."""
    shutil.copytree(CHECKOUT / "neurdicom", tmp_path / "neurdicom", ignore=lambda folder, names: binaries(names))
    written = tutorial.apply(tmp_path)
    made = {path.removesuffix(".py").replace("/", ".") for path in written}
    for path in written:
        for node in ast.walk(ast.parse((tmp_path / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module not in made:
                module = import_module(node.module or "")
                for name in node.names:
                    is_there = hasattr(module, name.name) or f"{node.module}.{name.name}" in made
                    assert is_there or find_spec(f"{node.module}.{name.name}"), f"{path} imports {name.name}"


def binaries(names: list[str]) -> set[str]:
    return {name for name in names if "." in name and not name.endswith(".py")}


def test_terms_of_the_glossary_occur_once_with_their_section() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    standard, ours = (
        re.findall(r"^\| (?!term )([^|]+) \| [^|]+ \| ([^|]+) \|$", part, re.MULTILINE)
        for part in text.split("## NeurDICOM's own words")
    )
    for term, section in standard:
        assert re.fullmatch(r"PS3\.\d+( [A-Z0-9.]+)?(, (PS3\.\d+( [A-Z0-9.]+)?|\d+))*", section), (term, section)
    assert len(standard) + len(ours) == len({term for term, _ in (*standard, *ours)}) > 60


def test_the_script_of_the_picture_finds_what_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    assert import_module("picture").PLUGINS.is_dir()
