"""A server, plugins made of a few lines, and what they stored."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.dicom_output import DerivedSite
from tests.support.server import Server


@pytest.fixture
def site(server: Server, tmp_path: Path) -> Iterator[DerivedSite]:
    """The shared server; what a test stores and installs goes with it."""
    site = DerivedSite(server, tmp_path)
    yield site
    for plugin in site.client.get("/api/plugins").json():
        site.client.delete(f"/api/plugins/{quote(plugin['id'], safe='')}")
    for study in {*site.uploaded}:
        site.client.delete(f"/api/studies/{study}")
    left = [path.name for path in (server.data / "blobs" / "spool").iterdir()]
    assert left == [], "files are left in the spool folder"
