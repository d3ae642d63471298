"""`make docs`: the site in build/docs, from the pages of this folder, the route table and the sources.

The build asks no other host for anything. It fails on a link that leads nowhere, on a page that is not in the
navigation, and on anything that a page would fetch from another host.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import orjson
from builder.links import check_mermaid, check_site, look_at_links
from builder.pages import DOCS, ROOT, BuildError, Stage
from builder.rest import rest_pages

from neurdicom.app.server import ROUTES
from neurdicom.http.openapi import describe

#: Brought by `make docs` from npm; its major version is the one that the theme speaks to.
MERMAID = "12.3.0"
HEADERS = ("neurdicom_plugin.h", "neurdicom_plugin.hpp")


def main() -> int:
    """Build, or look at the external links; answers 1 if something is wrong."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output", type=Path, default=ROOT / "build", help="Folder of the site `docs`.")
    arguments.add_argument("--mermaid", type=Path, default=ROOT / ".mermaid" / MERMAID, help="npm's package, unpacked.")
    arguments.add_argument("--look-at-links", action="store_true", help="Ask for each external link, and note the day.")
    given = arguments.parse_args()
    if given.look_at_links:
        failed = look_at_links()
        print("\n".join(failed) or "every external link answers")
        return bool(failed)
    started = time.monotonic()
    try:
        pages, links = build(given.output, given.mermaid)
    except BuildError as error:
        print("\n".join(f"documentation: {problem}" for problem in error.problems), file=sys.stderr)
        return 1
    seconds = time.monotonic() - started
    print(f"{pages} pages with {links} links are in {given.output / 'docs'} ({seconds:.1f} s)")
    return 0


def build(output: Path, mermaid: Path) -> tuple[int, int]:
    """Build and check the site.

    Parameters
    ----------
    output : Path
        Folder that gets `docs` (the site) and `docs-source` (what it is built from).
    mermaid : Path
        Folder of mermaid's npm package.

    Returns
    -------
    tuple of int
        Pages, and links within the site.

    Raises
    ------
    BuildError
        What is wrong, a line each.
    """
    document = describe(ROUTES)
    reference = {f"rest-reference/{name}": text for name, text in rest_pages(document).items()}
    openapi = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    stage = Stage(output / "docs-source", {**reference, "rest-reference/openapi.json": openapi, **_headers()})
    stage.fill()
    script = stage.folder / "scripts" / "mermaid.min.js"
    script.parent.mkdir(exist_ok=True)
    try:
        shutil.copyfile(mermaid / "dist" / "mermaid.min.js", script)
    except FileNotFoundError:
        raise BuildError([f"mermaid {MERMAID} is not in {mermaid}; `make docs` brings it (with npm)"]) from None
    navigation = [f"      - {name}" for name in reference]
    configuration = (DOCS / "mkdocs.yml").read_text(encoding="utf-8")
    configuration = configuration.replace("      - rest-reference/", "\n".join(navigation))
    (output / "mkdocs.yml").write_text(configuration.replace("ROOT", str(ROOT)), encoding="utf-8")
    _check_navigation(stage.folder, configuration)
    shutil.rmtree(output / "docs", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(output / "mkdocs.yml")],
        cwd=output,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not (output / "docs" / "index.html").exists():
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr.partition("Traceback")[0])
        raise BuildError([line for line in said.splitlines() if line.strip()])
    check_mermaid(output / "docs", MERMAID)
    return sum(1 for _ in (output / "docs").rglob("*.html")), check_site(output / "docs")


def _headers() -> dict[str, str]:
    """Make a page of each header of the plugin interface, which documents itself."""
    pages = {}
    for name in HEADERS:
        source = (ROOT / "bridge" / "include" / name).read_text(encoding="utf-8")
        language = "c" if name.endswith(".h") else "cpp"
        pages[f"reference/{name.replace('.', '-')}.md"] = f"# {name}\n\n```{language}\n{source}```\n"
    return pages


def _check_navigation(stage: Path, configuration: str) -> None:
    names = (path.relative_to(stage).as_posix() for path in stage.rglob("*.md"))
    absent = [f"{name} is not in the navigation of docs/mkdocs.yml" for name in names if name not in configuration]
    if absent:
        raise BuildError(sorted(absent))


if __name__ == "__main__":
    sys.exit(main())
