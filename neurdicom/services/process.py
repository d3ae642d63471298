"""Run a plugin on an instance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog, Location
from neurdicom.errors import Invalid, NotFound
from neurdicom.runtime.params import convert_arguments
from neurdicom.runtime.pool import Reply, WorkerPool
from neurdicom.services.plugins import PluginService

#: What an image result can be given as; `json` is what a native plugin gives beside its image.
FORMATS = ("png", "jpeg", "lum8", "f32", "f64", "npy", "json")


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks of a plugin.

    Attributes
    ----------
    texts : Mapping[str, Sequence[str]]
        Parameters as text, by name.
    values : Mapping[str, Any]
        Parameters as JSON values, by name.
    frame : int
        Counted from 1.
    format : str
        One of `FORMATS`; a result that is no image has its own.
    """

    texts: Mapping[str, Sequence[str]]
    values: Mapping[str, Any]
    frame: int = 1
    format: str = "png"


class ProcessService:
    """Runs plugins on what is stored."""

    def __init__(self, catalog: Catalog, blobs: BlobStore, pool: WorkerPool, plugins: PluginService) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._pool = pool
        self._plugins = plugins

    async def by_plugin(self, instance: str, guid: str, call: Call) -> Reply:
        """Run a plugin on one instance.

        Raises
        ------
        NotFound
            There is no such instance, or no such plugin.
        Invalid
            A parameter or the frame is wrong, or the plugin works on whole series.
        NotAvailable
            A native plugin, and the instance has no pixels.
        PluginError
            The plugin failed, crashed, hung or took too much memory.
        """
        location = await self._catalog.locate(instance)
        if location is None:
            raise NotFound(f"there is no instance {instance!r}")
        plugin = self._plugins.get(guid)
        if plugin.manifest.level != "instance":
            raise Invalid(f"the plugin {plugin.manifest.name!r} works on a series, not on an instance")
        async with self._plugins.use(guid) as running:
            _check_frame(call.frame, location)
            params = convert_arguments(running.plugin.manifest.params, call.texts, call.values)
            edits = await self._catalog.edits(instance) if location.edited else []
            arguments = {
                "path": str(await self._blobs.path(location.blob.key)),
                "layout": dict(location.layout),
                "frame": call.frame,
                "edits": [edit.as_dict() for edit in edits],
                "params": params,
                "format": call.format,
            }
            return await self._pool.call(running.program, "process", arguments)


def _check_frame(frame: int, location: Location) -> None:
    frames = location.layout.get("number_of_frames") or 1
    if frame > frames:
        raise Invalid(f"frame is {frame}; the instance has {frames}", field="frame")
