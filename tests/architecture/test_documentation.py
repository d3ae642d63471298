"""The layout that pages show is the tested one, each page is in the navigation, and the tutorial fits the code."""

import re
import shutil
from pathlib import Path

import pytest

from tests.architecture.test_layers import LADDER
from tests.support import tutorial
from tests.support.checkout import CHECKOUT

DOCS = CHECKOUT / "docs"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/decisions/layout.md"])
def test_the_ladder_that_is_shown_is_the_one_that_is_tested(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    (ladder,) = re.findall(r"^```\n(cli → .*?)```", text, re.MULTILINE | re.DOTALL)
    shown = [set(re.split(r"\s*[|,]\s*", rung.strip())) for rung in ladder.split("→")]
    assert shown == [set(rung) for rung in reversed(LADDER)]


def test_each_page_is_in_the_navigation() -> None:
    navigation = re.findall(r"^ +- (\S+\.md)$", (DOCS / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    root = {page.name.lower().replace("_", "-") for page in CHECKOUT.glob("*.md")} - {"readme.md"} | {"index.md"}
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    absent = (root | pages) - set(navigation)
    assert not absent, f"put {sorted(absent)} into the navigation of docs/mkdocs.yml"


def test_the_changes_of_the_tutorial_fit_the_code(tmp_path: Path) -> None:
    """What they come to is run by tests/documentation/test_tutorial.py."""
    shutil.copytree(CHECKOUT / "neurdicom", tmp_path / "neurdicom", ignore=lambda folder, names: binaries(names))
    tutorial.apply(tmp_path)


def binaries(names: list[str]) -> set[str]:
    return {name for name in names if "." in name and not name.endswith(".py")}
