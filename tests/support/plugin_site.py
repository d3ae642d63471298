"""A server with one image, plugins and models."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from tests.support.api import upload
from tests.support.images import ct_image
from tests.support.server import Server

#: Answers with what the model `test.model` says, of the dataset or of its values.
PLUGIN = """
class Plugin:
    def init(self):
        self.model = self.models["test.model"]

    def process(self, ds, by="dataset"):
        if by == "dataset":
            return self.model.run(ds)
        return self.model.run(ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept))

    def destroy(self): pass
"""


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
        """Names in the folder of plugins."""
        return sorted(path.name for path in (self.server.data / "plugins").iterdir())

    def install_model(self, archive: bytes, **headers: str) -> httpx.Response:
        return self.client.post("/api/models", content=archive, headers={"Content-Type": "application/zip", **headers})

    def run_model(self, id: str = "test.model", instance: str | None = None, **params: Any) -> httpx.Response:
        path = f"/api/instances/{instance or self.instance}/process/by_model/{quote(id, safe='')}"
        return self.client.get(path, params=params)

    @property
    def models(self) -> list[str]:
        """Names in the folder of models."""
        return sorted(path.name for path in (self.server.data / "models").iterdir())


def upload_image(server: Server) -> str:
    """Upload an image; answers its id."""
    instance, data = ct_image()
    assert upload(server.client, data)["status"] == "stored"
    return instance


def visit(server: Server) -> Iterator[Site]:
    """A server with an image; models and plugins are removed, those of other tests too, and the image afterwards."""
    site = Site(server, upload_image(server))
    _remove_tools(site)
    yield site
    _remove_tools(site)
    assert site.client.delete(f"/api/instances/{site.instance}").status_code == 204


def _remove_tools(site: Site) -> None:
    for many in ("plugins", "models"):
        for each in site.client.get(f"/api/{many}").json():
            site.client.delete(f"/api/{many}/{quote(each['id'], safe='')}")
