"""Routes of studies: lists, one, edit, delete, and what lies below."""

from neurdicom.dicom.attributes import Level
from neurdicom.web.base import ApiHandler
from neurdicom.web.entities import change_entity, delete_entity, send_entity
from neurdicom.web.listing import list_parameters, parse_query, send_page
from neurdicom.web.routing import Route, operation
from neurdicom.web.schemas import changes_schema, entity_schema, json_answer, page_answer

_LEVEL = Level.STUDY


class StudiesHandler(ApiHandler):
    """All studies."""

    @operation(
        "List studies",
        tag="studies",
        query=list_parameters(_LEVEL),
        open_query=True,
        answers={200: page_answer(_LEVEL)},
    )
    async def get(self) -> None:
        """Answer a page."""
        query = parse_query(self, _LEVEL)
        send_page(self, query, await self.services.search.find(query))


class StudyHandler(ApiHandler):
    """One study."""

    @operation("Get a study", tag="studies", answers={200: json_answer("The study.", entity_schema(_LEVEL))})
    async def get(self, study: str) -> None:
        """Answer it."""
        await send_entity(self, _LEVEL, study)

    @operation(
        "Change a study's attributes",
        tag="studies",
        description="The stored files stay as they are; the change is applied on every way out.",
        body={"application/json": changes_schema(_LEVEL)},
        answers={200: json_answer("The study as it is now.", entity_schema(_LEVEL))},
    )
    async def put(self, study: str) -> None:
        """Keep an edit."""
        await change_entity(self, _LEVEL, study)

    @operation(
        "Delete a study with everything below", tag="studies", answers={204: "It is gone, and so are its files."}
    )
    async def delete(self, study: str) -> None:
        """Delete it."""
        await delete_entity(self, _LEVEL, study)


class StudySeriesHandler(ApiHandler):
    """The series of one study."""

    @operation(
        "List the series of a study",
        tag="studies",
        query=list_parameters(Level.SERIES),
        open_query=True,
        answers={200: page_answer(Level.SERIES)},
    )
    async def get(self, study: str) -> None:
        """Answer a page."""
        query = parse_query(self, Level.SERIES)
        send_page(self, query, await self.services.search.children(_LEVEL, study, query))


ROUTES = [
    Route("/api/studies", StudiesHandler),
    Route("/api/studies/{id}", StudyHandler),
    Route("/api/studies/{id}/series", StudySeriesHandler),
]
