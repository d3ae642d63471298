"""`make docs`: the pages of this folder as HTML, and the OpenAPI description, in build/docs."""

import re
import sys
from pathlib import Path

import orjson
from markdown_it import MarkdownIt

from neurdicom.app import ROUTES
from neurdicom.http.openapi import describe

DOCS = Path(__file__).parent
ROOT = DOCS.parent
OUTPUT = ROOT / "build" / "docs"
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }}
pre, code {{ background: #f4f4f4 }} pre {{ padding: 1em; overflow: auto }}
td, th {{ border: 1px solid #ccc; padding: .3em .6em; text-align: left }} table {{ border-collapse: collapse }}</style>
{body}
"""


def broken_links(page: Path) -> list[str]:
    """Links of a page to files that are not there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return [f"{page.relative_to(ROOT)}: {link}" for link in links if not (page.parent / link).exists()]


def main() -> int:
    """Write everything; answers 1 if a link leads nowhere."""
    pages = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
    markdown = MarkdownIt().enable("table")
    for page in pages:
        target = OUTPUT / page.relative_to(DOCS if DOCS in page.parents else ROOT).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        body = markdown.render(page.read_text(encoding="utf-8"))
        body = re.sub(r'(href="(?!http)[^"]+)\.md([#"])', r"\1.html\2", body).replace('href="docs/', 'href="')
        target.write_text(PAGE.format(title=page.stem, body=body), encoding="utf-8")
    (OUTPUT / "openapi.json").write_bytes(orjson.dumps(describe(ROUTES), option=orjson.OPT_INDENT_2))
    broken = [link for page in pages for link in broken_links(page)]
    print(
        "\n".join(
            [f"{len(pages)} pages and openapi.json are in {OUTPUT}", *(f"broken link: {each}" for each in broken)]
        )
    )
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
