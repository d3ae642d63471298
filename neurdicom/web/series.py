"""Routes of series: lists, one, edit, delete, and what lies below."""

from neurdicom.dicom.attributes import Level
from neurdicom.web.base import ApiHandler
from neurdicom.web.entities import change_entity, delete_entity, send_entity
from neurdicom.web.listing import list_parameters, parse_query, send_page
from neurdicom.web.routing import Route, operation
from neurdicom.web.schemas import changes_schema, entity_schema, json_answer, page_answer

_LEVEL = Level.SERIES


class AllSeriesHandler(ApiHandler):
    """All series."""

    @operation(
        "List series",
        tag="series",
        query=list_parameters(_LEVEL),
        open_query=True,
        answers={200: page_answer(_LEVEL)},
    )
    async def get(self) -> None:
        """Answer a page."""
        query = parse_query(self, _LEVEL)
        send_page(self, query, await self.services.search.find(query))


class SeriesHandler(ApiHandler):
    """One series."""

    @operation("Get a series", tag="series", answers={200: json_answer("The series.", entity_schema(_LEVEL))})
    async def get(self, series: str) -> None:
        """Answer it."""
        await send_entity(self, _LEVEL, series)

    @operation(
        "Change a series' attributes",
        tag="series",
        description="The stored files stay as they are; the change is applied on every way out.",
        body={"application/json": changes_schema(_LEVEL)},
        answers={200: json_answer("The series as it is now.", entity_schema(_LEVEL))},
    )
    async def put(self, series: str) -> None:
        """Keep an edit."""
        await change_entity(self, _LEVEL, series)

    @operation(
        "Delete a series with everything below", tag="series", answers={204: "It is gone, and so are its files."}
    )
    async def delete(self, series: str) -> None:
        """Delete it."""
        await delete_entity(self, _LEVEL, series)


class SeriesInstancesHandler(ApiHandler):
    """The instances of one series."""

    @operation(
        "List the instances of a series, in slice order unless sorted",
        tag="series",
        query=list_parameters(Level.INSTANCE),
        open_query=True,
        answers={200: page_answer(Level.INSTANCE)},
    )
    async def get(self, series: str) -> None:
        """Answer a page."""
        query = parse_query(self, Level.INSTANCE)
        send_page(self, query, await self.services.search.children(_LEVEL, series, query))


ROUTES = [
    Route("/api/series", AllSeriesHandler),
    Route("/api/series/{id}", SeriesHandler),
    Route("/api/series/{id}/instances", SeriesInstancesHandler),
]
