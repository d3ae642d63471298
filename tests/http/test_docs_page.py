"""The page at /api/docs in a real browser, with no other host to be reached."""

import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.server import Server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not on the PATH (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, secured: Server) -> Iterator[Page]:
    """A window of its own session; what the page complains of, or asks of other hosts, fails the test."""
    context = browser.new_context(base_url=secured.url)
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    page.on("request", lambda request: problems.append(request.url) if is_foreign(request.url) else None)

    def is_foreign(url: str) -> bool:
        return not url.startswith((secured.url, "data:", "blob:"))

    yield page
    context.close()
    assert problems == []


@pytest.fixture
def signed_in(page: Page, admin_token: str, secured: Server) -> Page:
    """The page of a signed-in administrator."""
    page.context.add_cookies(
        [
            {
                "name": "neurdicom_session",
                "value": admin_token,
                "url": secured.url,
                "httpOnly": True,
                "sameSite": "Strict",
            }
        ]
    )
    page.goto("/api/docs")
    return page


def open_operation(page: Page, name: str) -> None:
    page.locator(f"#{name} > summary").click()


def test_signing_in_and_out(page: Page, admin: httpx.Client) -> None:
    email = "docs-page@example.org"
    made = admin.post("/api/users", json={"email": email, "password": "correct horse"}).json()
    answer = page.goto("/api/docs")
    assert answer is not None and answer.status == 401
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill("wrong password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("wrong e-mail address or password")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#who")).to_have_text(email)
    assert page.evaluate("document.cookie") == "", "no script gets at the session"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert admin.delete(f"/api/users/{made['id']}").status_code == 204


def test_every_operation_is_shown(signed_in: Page, admin: httpx.Client) -> None:
    paths = admin.get("/api/openapi.json").json()["paths"]
    ids = {operation["operationId"] for methods in paths.values() for operation in methods.values()}
    expect(signed_in.locator("details.operation")).to_have_count(len(ids))
    assert set(signed_in.locator("details.operation").evaluate_all("all => all.map(each => each.id)")) == ids


def test_every_operation_opens(signed_in: Page) -> None:
    expect(signed_in.locator("details.operation").first).to_be_visible()
    signed_in.evaluate("document.querySelectorAll('details.operation').forEach(each => { each.open = true })")
    expect(signed_in.locator("details.operation button:has-text('Send')")).to_have_count(
        signed_in.locator("details.operation").count()
    )


def test_trying_an_operation(signed_in: Page) -> None:
    open_operation(signed_in, "get_users_check")
    inside = signed_in.locator("#get_users_check")
    inside.get_by_role("button", name="Send").click()
    expect(inside.locator(".answer")).to_contain_text("200")
    expect(inside.locator(".answer pre").last).to_contain_text('"email": "admin@localhost"')


def test_trying_one_with_parameters(signed_in: Page) -> None:
    open_operation(signed_in, "get_studies_by_id")
    inside = signed_in.locator("#get_studies_by_id")
    inside.get_by_label("id, in path").fill("1.2/../3 <b>")
    inside.get_by_role("button", name="Send").click()
    expect(inside.locator(".answer")).to_contain_text("404")
    expect(inside.locator(".answer")).to_contain_text("<b>")


def test_trying_one_with_a_body(signed_in: Page, admin: httpx.Client) -> None:
    open_operation(signed_in, "post_users")
    inside = signed_in.locator("#post_users")
    assert '"email"' in inside.get_by_label("Body", exact=True).input_value()
    inside.get_by_label("Body", exact=True).fill('{"email": "from-docs@example.org", "password": "correct horse"}')
    inside.get_by_role("button", name="Send").click()
    expect(inside.locator(".answer")).to_contain_text("201")
    made = next(user for user in admin.get("/api/users").json() if user["email"] == "from-docs@example.org")
    assert admin.delete(f"/api/users/{made['id']}").status_code == 204


def test_finding_an_operation(signed_in: Page) -> None:
    signed_in.get_by_placeholder("studies, image, upload").fill("sign out")
    expect(signed_in.locator("details.operation:visible")).to_have_count(1)
    expect(signed_in.locator("#post_users_logout")).to_be_visible()


def test_programs_get_problem_details(anyone: httpx.Client) -> None:
    answer = anyone.get("/api/docs")
    assert answer.status_code == 401 and answer.headers["Content-Type"] == "application/problem+json"
    page = anyone.get("/api/docs", headers={"Accept": "text/html"})
    assert page.status_code == 401 and "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
