"""What the pages say of the layout is what is tested, and each page is in the site's navigation."""

import re

import pytest

from tests.architecture.test_layers import LADDER
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
    root = {f"{page.stem.lower().replace('_', '-')}.md" for page in CHECKOUT.glob("*.md")} - {"readme.md"} | {
        "index.md"
    }
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    absent = (root | pages) - set(navigation)
    assert not absent, f"put {sorted(absent)} into the navigation of docs/mkdocs.yml"
