"""Routes `/api/health` and `/api/metrics`, for operators."""

import asyncio
import os
import shutil
import time
from contextlib import suppress
from typing import Any

from neurdicom import __version__
from neurdicom.archive.search import SearchService
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NeurdicomError, NotFound
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BOOLEAN, INTEGER, NUMBER, STRING, operation
from neurdicom.http.routing import Route
from neurdicom.processing.storage import StorageOverview
from neurdicom.schema import Schema
from neurdicom.security.access import Access
from neurdicom.web.metrics import DimseStatus, Metrics
from neurdicom.workers.executor import Executor

#: Seconds within which the catalog has to answer for the server to be ready.
CATALOG_SECONDS = 5.0

_HEALTH: Schema = {
    "type": "object",
    "required": ["status", "ready"],
    "properties": {
        "status": {"enum": ["ok", "unavailable", "migrating"]},
        "ready": BOOLEAN,
        "migration": {
            "type": "object",
            "description": "While the catalog of an earlier version is migrated: the instances so far, and of all.",
            "required": ["done", "total"],
            "properties": {"done": INTEGER, "total": INTEGER},
        },
        "version": STRING,
        "catalog": {"enum": ["ok", "unavailable"]},
        "uptime": {**NUMBER, "description": "Seconds since the start."},
        "process": INTEGER,
        "damaged_files": {
            **INTEGER,
            "description": "Stored files that are damaged, and not given out, without those in the trash; for "
            "administrators. /api/storage names them all.",
        },
        "alerts": {
            "type": "array",
            "description": "What an administrator has to look at; for administrators.",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "code": {"enum": ["damaged_files", "over_max_storage"]},
                    "detail": STRING,
                    "since": {"type": "string", "format": "date-time"},
                },
            },
        },
        "disk_free": {**INTEGER, "description": "Free bytes on the disk of the data folder."},
        "requests_under_way": INTEGER,
        "dask": {
            "type": ["object", "null"],
            "description": "The Dask cluster that runs the items of processing jobs; null without one.",
            "required": ["address", "workers", "threads", "problem"],
            "properties": {
                "address": STRING,
                "workers": INTEGER,
                "threads": INTEGER,
                "problem": {
                    "type": ["string", "null"],
                    "description": "Why the cluster can run nothing now; null when it can.",
                },
            },
        },
        "dimse": {
            "type": "object",
            "required": ["port", "associations"],
            "properties": {
                "port": {**INTEGER, "description": "TCP port of the DIMSE services; 0 for none."},
                "associations": {**INTEGER, "description": "Number of accepted associations at this moment."},
            },
        },
    },
}


class HealthHandler(ApiHandler):
    """Handler of `/api/health`."""

    executor: Executor
    dimse: DimseStatus
    search: SearchService
    overview: StorageOverview

    @operation(
        "Get the health of the server",
        tag="operations",
        access=Access.PUBLIC,
        description="The status is 503 while the server starts or stops, or when its catalog does not answer. With a "
        "credential the answer has more fields.",
        answers={
            status: {"description": text, "content": {"application/json": {"schema": _HEALTH}}}
            for status, text in ((200, "The server is ready."), (503, "The server is not ready."))
        },
    )
    async def get(self) -> None:
        catalog = await self._catalog_answers()
        ready = self.context.ready and catalog
        health: dict[str, Any] = {"status": "ok" if ready else "unavailable", "ready": ready}
        if self.principal is not None:
            health |= {
                "version": __version__,
                "catalog": "ok" if catalog else "unavailable",
                "uptime": round(time.monotonic() - self.context.started, 1),
                "process": os.getpid(),
                "disk_free": (await asyncio.to_thread(shutil.disk_usage, self.context.settings.data)).free,
                "requests_under_way": len(self.context.under_way),
                "dask": self.executor.describe(),
                "dimse": {"port": self.dimse.port, "associations": self.dimse.associations},
            }
            if self.principal.is_admin:
                if catalog:
                    await self.overview.refresh()
                    health["alerts"] = await self.overview.alerts()
                health["damaged_files"] = self.overview.damaged_files
        self.send_json(health, status=200 if ready else 503)

    async def _catalog_answers(self) -> bool:
        try:
            async with asyncio.timeout(CATALOG_SECONDS):
                await self.search.get(Level.PATIENT, "none")
        except NotFound:
            return True  # the cheapest query that the catalog has to answer
        except (NeurdicomError, TimeoutError):
            return False
        return True


class LivenessHandler(ApiHandler):
    """Handler of `/api/health/live`."""

    @operation(
        "Tell that the server's process answers",
        tag="operations",
        access=Access.PUBLIC,
        description="The status is 200 as long as the process answers, also while the catalog of an earlier version is "
        "migrated or does not answer.",
        answers={
            200: {
                "description": "The process answers.",
                "content": {
                    "application/json": {
                        "schema": {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
                    }
                },
            }
        },
    )
    async def get(self) -> None:
        self.send_json({"status": "ok"})


class MetricsHandler(ApiHandler):
    """Handler of `/api/metrics`."""

    metrics: Metrics
    overview: StorageOverview

    @operation(
        "Get metrics in Prometheus' text format",
        tag="operations",
        answers={200: {"description": "The metrics.", "content": {"text/plain": {"schema": STRING}}}},
    )
    async def get(self) -> None:
        with suppress(NeurdicomError):  # without the catalog, the numbers are those of before
            await self.overview.refresh()
            await self.overview.measure()
        self.set_header("Content-Type", self.metrics.content_type)
        await self.finish(self.metrics.expose(under_way=len(self.context.under_way)))


ROUTES = [
    Route("/api/health", HealthHandler),
    Route("/api/health/live", LivenessHandler),
    Route("/api/metrics", MetricsHandler),
]
