"""A browser, and a web server of OHIF."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.ohif import FOLDER, Ohif


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, with WebGL in software."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not on the PATH (Debian: apt-get install chromium)")
    arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def ohif() -> Iterator[Ohif]:
    """A web server of the viewer."""
    if not FOLDER.is_dir():
        pytest.skip("the OHIF viewer is not here; `make ohif` fetches it")
    with Ohif() as running:
        yield running
