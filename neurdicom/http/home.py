"""The page of links at `/`, for people who open the server's address in a browser."""

from functools import lru_cache
from html import escape
from importlib import resources

from neurdicom.http.base import ApiHandler
from neurdicom.http.openapi import hash_source
from neurdicom.http.operation import STRING, operation
from neurdicom.http.routing import Route
from neurdicom.security.access import Access


@lru_cache(maxsize=8)
def home_page(prefix: str = "") -> tuple[str, str]:
    """Make the page with its style inside, and the content security policy that allows only this style.

    Parameters
    ----------
    prefix : str
        Path below which the client reaches our routes. Without one the links are relative, so that they hold also below
        one that nobody tells.

    Returns
    -------
    tuple of str
        The page, and the policy.
    """
    folder = resources.files("neurdicom.http") / "static"
    style, page = ((folder / name).read_text(encoding="utf-8") for name in ("home.css", "home.html"))
    policy = (
        f"default-src 'none'; style-src {hash_source(style)}; img-src data:; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    base = f"{escape(prefix)}/" if prefix else ""
    return page.replace("{{style}}", style).replace("{{base}}", base), policy


class HomeHandler(ApiHandler):
    """Handler of `/`, which sends the page of links."""

    @operation(
        "Get the home page",
        tag="operations",
        access=Access.PUBLIC,
        description="A page with links to the documentation and the interfaces of this server.",
        answers={200: {"description": "The page.", "content": {"text/html": {"schema": STRING}}}},
    )
    async def get(self) -> None:
        page, policy = home_page(self.reach.prefix)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Referrer-Policy", "no-referrer")
        await self.finish(page)


ROUTES = [Route("/", HomeHandler)]
