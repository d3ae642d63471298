"""Composition of the services that install plugins and models."""

import os
from dataclasses import dataclass

from neurdicom.app.storage import Storage
from neurdicom.config import Settings
from neurdicom.plugins.service import ModelService, PluginService
from neurdicom.plugins.tools import ToolType
from neurdicom.workers.pool import WorkerPool
from neurdicom.workers.program import ToolLimits


@dataclass(frozen=True, slots=True)
class ToolServices:
    """Services that install plugins and models."""

    plugins: PluginService
    models: ModelService

    @property
    def by_type(self) -> dict[ToolType, PluginService | ModelService]:
        """The two services by the type of tool that each installs."""
        return {"plugin": self.plugins, "model": self.models}


def compose_tools(settings: Settings, storage: Storage, pool: WorkerPool) -> ToolServices:
    """Make the services that install plugins and models.

    Parameters
    ----------
    settings : Settings
    storage : Storage
        Its documents hold the records of plugins and models.
    pool : WorkerPool
        Loads what is uploaded, to check it.

    Returns
    -------
    ToolServices
    """
    threads = max(1, len(os.sched_getaffinity(0)) // settings.plugin_workers)
    limits = ToolLimits(settings.plugin_timeout, settings.plugin_memory, threads)
    models = ModelService(settings.data / "models", storage.documents, pool, limits)
    return ToolServices(PluginService(settings.data / "plugins", storage.documents, pool, limits, models), models)
