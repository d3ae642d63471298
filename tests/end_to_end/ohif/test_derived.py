"""OHIF shows what was derived beside its source: pictures, images, segmentations; and lists reports."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.derived_objects import ct_slice
from tests.support.dicom_output import BODY, LABELS, MEASUREMENTS, SEGMENTATION, DerivedSite
from tests.support.ohif import Ohif
from tests.support.server import Server

Colours = npt.NDArray[Any]

#: Study to the plugin whose results lie in it, and to its META.json.
PLUGINS: dict[int, tuple[str, dict[str, Any]]] = {
    21: ("return np.dstack([ds.pixel_array % 256, ds.pixel_array * 0, ds.pixel_array * 0 + 99]).astype('u1')", {}),
    22: ("return -ds.pixel_array / 3.7", {"input": "modality"}),
    23: (LABELS, {"result": SEGMENTATION}),
    24: (BODY, {"result": MEASUREMENTS}),
}


@pytest.fixture(scope="module")
def pacs(ohif: Ohif, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a CT series in each study, and what came of its slices."""
    with Server(tmp_path_factory.mktemp("pacs"), "--cors-origins", ohif.url) as server:
        ohif.show(server.url)
        site = DerivedSite(server, tmp_path_factory.mktemp("files"))
        for study, (body, meta) in PLUGINS.items():
            slices = [ct_slice(number, study=study, PatientPosition="HFS") for number in range(1, 7)]
            instances = [site.upload(ds) for ds in slices]
            site.plugin(body, **meta)
            for instance in instances if study < 23 else instances[2:3]:
                assert site.run(instance, store="true").status_code == 200
        yield server


@pytest.fixture
def page(browser: Browser, ohif: Ohif, pacs: Server) -> Iterator[Page]:
    """A window; requests that fail and errors in the viewer fail the test."""
    context = browser.new_context(base_url=ohif.url, viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    problems: list[str] = []
    page.on("response", lambda answer: problems.append(answer.url) if answer.status >= 400 else None)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


def opened(page: Page, study: int) -> Locator:
    """Open a study; the entries of its series."""
    page.goto(f"/viewer?StudyInstanceUIDs={ct_slice(1, study=study).StudyInstanceUID}")
    page.get_by_text("Skip all").click()
    series = page.locator('[data-cy^="study-browser-thumbnail"]')
    expect(series).to_have_count(2)
    return series


def wait_for_picture(page: Page, is_shown: Callable[[Colours], bool]) -> Colours:
    """The colours in the viewport, shape (rows, columns, 3), once they are as wanted."""
    canvas = page.locator("canvas.cornerstone-canvas").first
    expect(canvas).to_be_visible()
    for _ in range(60):
        colours = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)
        if is_shown(colours):
            return colours
        page.wait_for_timeout(500)
    pytest.fail("the viewer does not show the picture")


def test_a_colour_picture(page: Page) -> None:
    derived = opened(page, 21).last
    expect(derived).to_contain_text("OT")
    expect(derived).to_contain_text("Derive Tést 1.2")
    derived.dblclick()
    wait_for_picture(page, lambda rgb: ((rgb[..., 2] > 90) & (rgb[..., 1] < 30)).mean() > 0.3)


def test_an_image_of_the_source_s_kind(page: Page) -> None:
    """The plugin negated it: what was dark at the top is bright."""
    derived = opened(page, 22).last
    expect(derived).to_contain_text("CT")
    derived.dblclick()
    rgb = wait_for_picture(page, lambda rgb: len(np.unique(rgb)) > 30 and rgb.max() > 250)
    lit = [row for row in rgb[:, rgb.shape[1] // 2, 0] if row > 5]
    assert np.mean(lit[: len(lit) // 4]) > np.mean(lit[-len(lit) // 4 :]) + 60


def test_a_segmentation_lies_over_its_source(page: Page) -> None:
    derived = opened(page, 23).last
    expect(derived).to_contain_text("SEG")
    derived.dblclick()
    wait_for_picture(
        page,
        lambda rgb: (rgb[..., 0] - rgb[..., 1] > 60).mean() > 0.05 and (rgb[..., 1] - rgb[..., 0] > 30).mean() > 0.05,
    )
    page.get_by_role("button", name="Yes").click()
    page.locator('[data-cy="panelSegmentation-btn"]').click()
    page.get_by_text("Läsion").first.wait_for()


def test_a_report_is_listed(page: Page) -> None:
    derived = opened(page, 24).last
    expect(derived).to_contain_text("SR")
    expect(derived).to_contain_text("Derive Tést 1.2")
