"""Routes that merge patients, move studies and series, and split studies."""

from collections.abc import Callable

from neurdicom.archive.move_requests import MERGE, MOVE_SERIES, MOVE_STUDY, SPLIT
from neurdicom.archive.moves import MoveService
from neurdicom.archive.search import SearchService
from neurdicom.dicom.query.attributes import Level
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import Method, operation
from neurdicom.http.routing import Route
from neurdicom.schema import Declaration
from neurdicom.web.entities import MANY
from neurdicom.web.schemas import entity_schema, json_answer

_FILES = (
    "The stored files stay unchanged: it is an edit, applied whenever they are shown or sent, and undone by "
    "`DELETE /api/{many}/{{id}}/edits/{{edit}}`."
)


def _move_operation(
    summary: str, level: Level, answer: Level, description: str, json: Declaration
) -> Callable[[Method], Method]:
    """Describe the POST of a move.

    Parameters
    ----------
    summary : str
        What it does, in a line.
    level : Level
        Level of what is moved.
    answer : Level
        Level of the entity that is answered.
    description : str
        What it does, with its rules.
    json : Declaration
        The body.
    """
    return operation(
        summary,
        tag=MANY[level],
        description=f"{description} {_FILES.format(many=MANY[level])}",
        json=json,
        answers={
            200: json_answer(f"The {answer}, where it is now.", entity_schema(answer)),
            409: "Nothing would change, or be left behind; or a UID names several.",
        },
    )


class _MoveHandler(ApiHandler):
    moves: MoveService
    search: SearchService
    level: Level

    async def check_path(self, *ids: str) -> None:
        await self.search.get(self.level, *ids)

    @property
    def user(self) -> str:
        return self.principal.email if self.principal else ""


class MergeHandler(_MoveHandler):
    """Handler that merges a patient into another."""

    level = Level.PATIENT

    @_move_operation(
        "Merge a patient into another",
        Level.PATIENT,
        Level.PATIENT,
        "All studies of the patient go to the other one, whose demographics they show, and who gets its labels. The id "
        "of the merged patient is answered with 308 and that of the other. What comes later of these studies "
        "follows; other studies that come later follow with `from_now_on`.",
        MERGE,
    )
    async def post(self, patient: str) -> None:
        """Merge a patient."""
        body = await self.json_body()
        from_now_on = body.get("from_now_on", False)
        merged = await self.moves.merge(patient, body["into"], from_now_on=from_now_on, user=self.user)
        self.send_json(await self.search.with_labels(Level.PATIENT, merged))


class MoveStudyHandler(_MoveHandler):
    """Handler that gives a study to another patient."""

    level = Level.STUDY

    @_move_operation(
        "Give a study to another patient",
        Level.STUDY,
        Level.STUDY,
        "The study shows the demographics of that patient, and what comes later of it follows. Demographics that are "
        "given hold for everything that was moved to that patient.",
        MOVE_STUDY,
    )
    async def post(self, study: str) -> None:
        """Move a study."""
        body = await self.json_body()
        moved = await self.moves.move_study(study, body["patient"], user=self.user)
        self.send_json(await self.search.with_labels(Level.STUDY, moved))


class SplitHandler(_MoveHandler):
    """Handler that takes series out of a study."""

    level = Level.STUDY

    @_move_operation(
        "Split series off a study",
        Level.STUDY,
        Level.STUDY,
        "The series go to a new study of the same patient, with a UID of ours and the other attributes of the study; "
        "they keep their UIDs. What comes later of them follows.",
        SPLIT,
    )
    async def post(self, study: str) -> None:
        """Split a study."""
        body = await self.json_body()
        made = await self.moves.split(study, body["series"], user=self.user)
        self.send_json(await self.search.with_labels(Level.STUDY, made))


class MoveSeriesHandler(_MoveHandler):
    """Handler that gives a series to another study."""

    level = Level.SERIES

    @_move_operation(
        "Give a series to another study",
        Level.SERIES,
        Level.SERIES,
        "The series shows the attributes of that study and its patient, and what comes later of it follows.",
        MOVE_SERIES,
    )
    async def post(self, series: str) -> None:
        """Move a series."""
        body = await self.json_body()
        moved = await self.moves.move_series(series, body["study"], user=self.user)
        self.send_json(await self.search.with_labels(Level.SERIES, moved))


ROUTES = [
    Route("/api/patients/{id}/merge", MergeHandler),
    Route("/api/studies/{id}/move", MoveStudyHandler),
    Route("/api/studies/{id}/split", SplitHandler),
    Route("/api/series/{id}/move", MoveSeriesHandler),
]
