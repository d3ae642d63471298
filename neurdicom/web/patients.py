"""Routes of patients: lists, one, edit, delete, and what lies below."""

from neurdicom.dicom.attributes import Level
from neurdicom.web.base import ApiHandler
from neurdicom.web.entities import change_entity, delete_entity, send_entity
from neurdicom.web.listing import list_parameters, parse_query, send_page
from neurdicom.web.routing import Route, operation
from neurdicom.web.schemas import changes_schema, entity_schema, json_answer, page_answer

_LEVEL = Level.PATIENT


class PatientsHandler(ApiHandler):
    """All patients."""

    @operation(
        "List patients",
        tag="patients",
        query=list_parameters(_LEVEL),
        open_query=True,
        answers={200: page_answer(_LEVEL)},
    )
    async def get(self) -> None:
        """Answer a page."""
        query = parse_query(self, _LEVEL)
        send_page(self, query, await self.services.search.find(query))


class PatientHandler(ApiHandler):
    """One patient."""

    @operation("Get a patient", tag="patients", answers={200: json_answer("The patient.", entity_schema(_LEVEL))})
    async def get(self, patient: str) -> None:
        """Answer it."""
        await send_entity(self, _LEVEL, patient)

    @operation(
        "Change a patient's demographics",
        tag="patients",
        description="The stored files stay as they are; the change is applied on every way out.",
        body={"application/json": changes_schema(_LEVEL)},
        answers={200: json_answer("The patient as it is now.", entity_schema(_LEVEL))},
    )
    async def put(self, patient: str) -> None:
        """Keep an edit."""
        await change_entity(self, _LEVEL, patient)

    @operation(
        "Delete a patient with everything below", tag="patients", answers={204: "It is gone, and so are its files."}
    )
    async def delete(self, patient: str) -> None:
        """Delete it."""
        await delete_entity(self, _LEVEL, patient)


class PatientStudiesHandler(ApiHandler):
    """The studies of one patient."""

    @operation(
        "List the studies of a patient",
        tag="patients",
        query=list_parameters(Level.STUDY),
        open_query=True,
        answers={200: page_answer(Level.STUDY)},
    )
    async def get(self, patient: str) -> None:
        """Answer a page."""
        query = parse_query(self, Level.STUDY)
        send_page(self, query, await self.services.search.children(_LEVEL, patient, query))


ROUTES = [
    Route("/api/patients", PatientsHandler),
    Route("/api/patients/{id}", PatientHandler),
    Route("/api/patients/{id}/studies", PatientStudiesHandler),
]
