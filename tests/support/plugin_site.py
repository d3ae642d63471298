"""A server with one image, plugins and models."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from tests.support.images import ct_image
from tests.support.server import Server


@dataclass
class Site:
    """A server with an image, and what the tests do to it."""

    server: Server
    instance: str

    @property
    def client(self) -> httpx.Client:
        return self.server.client

    def install(self, archive: bytes, **headers: str) -> httpx.Response:
        return self.client.post("/api/plugins", content=archive, headers={"Content-Type": "application/zip", **headers})

    def run(self, guid: str = "test.plugin", **params: Any) -> httpx.Response:
        return self.client.get(f"/api/instances/{self.instance}/process/by_plugin/{guid}", params=params)

    def post(self, guid: str = "test.plugin", **request: Any) -> httpx.Response:
        return self.client.post(f"/api/instances/{self.instance}/process/by_plugin/{guid}", **request)

    @property
    def packages(self) -> list[str]:
        """What lies in the folder of plugins."""
        return sorted(path.name for path in (self.server.data / "plugins").iterdir())


def upload_image(server: Server) -> str:
    """Upload an image; answers its id."""
    instance, data = ct_image()
    answer = server.client.post("/api/instances", content=data, headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 201, answer.text
    return instance


def visit(server: Server) -> Iterator[Site]:
    """A server with an image; plugins and the image are removed afterwards."""
    site = Site(server, upload_image(server))
    yield site
    for plugin in site.client.get("/api/plugins").json():
        site.client.delete(f"/api/plugins/{quote(plugin['id'], safe='')}")
    assert site.client.delete(f"/api/instances/{site.instance}").status_code == 204
