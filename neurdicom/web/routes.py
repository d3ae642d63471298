"""All routes of the REST API, in the order of its description."""

from neurdicom.dicom.query.attributes import Level
from neurdicom.http.routing import Route
from neurdicom.web import (
    conflicts,
    events,
    instances,
    jobs,
    labels,
    moves,
    nodes,
    operations,
    pixels,
    process,
    process_jobs,
    results,
    rules,
    storage,
    tools,
    trash,
    uploads,
    users,
    versions,
)
from neurdicom.web.entities import entity_routes

ROUTES: list[Route] = [
    *uploads.ROUTES,
    *entity_routes(Level.PATIENT),
    *entity_routes(Level.STUDY),
    *entity_routes(Level.SERIES),
    *instances.ROUTES,
    *moves.ROUTES,
    *versions.ROUTES,
    *trash.ROUTES,
    *conflicts.ROUTES,
    *labels.ROUTES,
    *pixels.ROUTES,
    *tools.ROUTES,
    *process.ROUTES,
    *process_jobs.ROUTES,
    *results.ROUTES,
    *rules.ROUTES,
    *nodes.ROUTES,
    *jobs.ROUTES,
    *events.ROUTES,
    *users.ROUTES,
    *operations.ROUTES,
    *storage.ROUTES,
]
