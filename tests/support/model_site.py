"""TODO."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from tests.support.plugin_site import Site as PluginSite
from tests.support.plugin_site import upload_image
from tests.support.server import Server


class Site(PluginSite):
    """A server with an image, and what the tests do to it."""

    def install_model(self, archive: bytes, **headers: str) -> httpx.Response:
        return self.client.post("/api/models", content=archive, headers={"Content-Type": "application/zip", **headers})

    def run_model(self, id: str = "test.model", instance: str | None = None, **params: Any) -> httpx.Response:
        path = f"/api/instances/{instance or self.instance}/process/by_model/{quote(id, safe='')}"
        return self.client.get(path, params=params)

    @property
    def models(self) -> list[str]:
        """What lies in the folder of models."""
        return sorted(path.name for path in (self.server.data / "models").iterdir())


def visit(server: Server) -> Iterator[Site]:
    """A server with an image; models, plugins and the image are removed afterwards."""
    site = Site(server, upload_image(server))
    yield site
    for many in ("plugins", "models"):
        for each in site.client.get(f"/api/{many}").json():
            site.client.delete(f"/api/{many}/{quote(each['id'], safe='')}")
    assert site.client.delete(f"/api/instances/{site.instance}").status_code == 204


#: Answers with what the model says, of the dataset or of its values.
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
