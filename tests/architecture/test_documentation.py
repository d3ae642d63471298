"""Each page of the documentation is in the site's navigation, and the tutorial fits the code."""

import re
import shutil
from pathlib import Path

from tests.support import tutorial
from tests.support.checkout import CHECKOUT

DOCS = CHECKOUT / "docs"


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
