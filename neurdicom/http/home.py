"""The page at `/`: where everything is, for whoever opens the server's address in a browser."""

from functools import cache
from importlib import resources

from neurdicom.http.base import ApiHandler
from neurdicom.http.openapi import hash_source
from neurdicom.http.operation import STRING, operation
from neurdicom.http.routing import Route
from neurdicom.security.access import Access


@cache
def home_page() -> tuple[str, str]:
    """Make the page with its style inside, and the content security policy that lets only this apply."""
    folder = resources.files("neurdicom.http") / "static"
    style, page = ((folder / name).read_text(encoding="utf-8") for name in ("home.css", "home.html"))
    policy = (
        f"default-src 'none'; style-src {hash_source(style)}; img-src data:; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return page.replace("{{style}}", style), policy


class HomeHandler(ApiHandler):
    """`/`."""

    @operation(
        "Get the page of links",
        tag="operations",
        access=Access.PUBLIC,
        description="It tells nothing of this server but where its doors are.",
        answers={200: {"description": "The page.", "content": {"text/html": {"schema": STRING}}}},
    )
    async def get(self) -> None:
        page, policy = home_page()
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Referrer-Policy", "no-referrer")
        await self.finish(page)


ROUTES = [Route("/", HomeHandler)]
