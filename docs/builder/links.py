"""Links of the built site: those within it are followed, those to other hosts are compared with a list."""

import datetime
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import httpx

from builder.pages import DOCS, REPOSITORY, BuildError

#: The list of external links, and when each was last looked at.
LIST = DOCS / "external-links.md"

_ROW = re.compile(r"^\| <(?P<url>https?://[^>]+)> \| (?P<looked>[^|]+) \|$", re.MULTILINE)
_EXTERNAL = re.compile(r"(https?:)?//")
#: What a browser fetches by itself, where links wait for a click.
_FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
#: `link` elements that name an address and fetch nothing.
_NAMED_ONLY = ("canonical", "alternate", "prev", "next", "edit")
#: Addresses that the theme's script would fetch from another host, where the site does not bring them itself.
_MERMAID = re.compile(rb"https://unpkg\.com/mermaid@(\d+)")


class Page(HTMLParser):
    """What a page links to, what it fetches, and the anchors that it has.

    Parameters
    ----------
    text : str
        HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in _FETCHED and _FETCHED[tag] in given and given.get("rel") not in _NAMED_ONLY:
            self.fetched.append(given[_FETCHED[tag]])


def check_site(site: Path, *, listed: bool = True) -> int:
    """Follow all links of a built site.

    Parameters
    ----------
    site : Path
        Its folder.
    listed : bool
        Whether external links have to be those of the list.

    Returns
    -------
    int
        Links within the site.

    Raises
    ------
    BuildError
        A link leads nowhere, a page fetches something from another host, or an external link is not in the list.
    """
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    problems, external, count = [], defaultdict(set), 0
    for path, page in pages.items():
        name = path.relative_to(site)
        foreign = filter(_EXTERNAL.match, page.fetched)
        problems += [f"{name}: {address} would be fetched from another host" for address in foreign]
        for address in (*page.links, *page.fetched):
            if _EXTERNAL.match(address):
                external[urldefrag(address)[0]].add(str(name))
            elif not re.match(r"[a-z]+:", address):
                count += 1
                problems += _broken(site, path, pages, address)
    if listed:
        problems += _unlisted(external)
    if problems:
        raise BuildError(sorted(set(problems)))
    return count


def _broken(site: Path, path: Path, pages: dict[Path, Page], address: str) -> list[str]:
    target, anchor = urldefrag(address)
    root = site if target.startswith("/") else path.parent
    file = (root / unquote(target.partition("?")[0]).lstrip("/")).resolve() if target else path
    file = file / "index.html" if file.is_dir() else file
    name = path.relative_to(site)
    if not file.exists():
        return [f"{name}: {address} leads to no file"] if name.name != "404.html" else []
    if anchor and file in pages and unquote(anchor) not in pages[file].anchors:
        return [f"{name}: {address} leads to no heading"]
    return []


def _unlisted(external: dict[str, set[str]]) -> list[str]:
    found = {url for url in external if not url.startswith(REPOSITORY)}
    listed = set(listed_links())
    return [
        *(f"{min(external[url])}: {url} is not in {LIST.name}; add it and look at it" for url in found - listed),
        *(f"{LIST.name}: no page has a link to {url}" for url in listed - found),
    ]


def listed_links() -> dict[str, str]:
    """Read the list of external links: the date of the last look by URL, or the word that stands there."""
    return {row["url"]: row["looked"].strip() for row in _ROW.finditer(LIST.read_text(encoding="utf-8"))}


def look_at_links() -> list[str]:
    """Ask for each external link of the list, and write today's date beside those that answer.

    Returns
    -------
    list of str
        Those that do not, with the reason.
    """
    text, failed = LIST.read_text(encoding="utf-8"), []
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    for url, looked in listed_links().items():
        try:
            httpx.get(url, timeout=20, follow_redirects=True).raise_for_status()
        except httpx.HTTPError as error:
            failed.append(f"{url}: {error}")
        else:
            text = text.replace(f"| <{url}> | {looked} |", f"| <{url}> | {today} |")
    LIST.write_text(text, encoding="utf-8")
    return failed


def check_mermaid(site: Path, version: str) -> None:
    """Check that the diagrams' script is of the theme's major version, since the theme speaks to it.

    Raises
    ------
    BuildError
        It is another, or the theme names none.
    """
    wanted = {int(found[1]) for path in site.rglob("bundle*.js") for found in _MERMAID.finditer(path.read_bytes())}
    if wanted != {int(version.partition(".")[0])}:
        raise BuildError([f"the theme wants mermaid {sorted(wanted)}, and docs/build.py brings {version}"])
