"""Handlers of patients, studies, series and instances: the list, one entity, and the list of its children."""

from neurdicom.archive.edit import EditService
from neurdicom.archive.remove import RemoveService
from neurdicom.archive.search import SearchService
from neurdicom.archive.trash.service import Deletion
from neurdicom.dicom.edits.values import CHANGES
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Invalid
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import operation
from neurdicom.http.parameters import flag_parameter, parsed_parameter
from neurdicom.http.routing import Route
from neurdicom.rules import RuleService
from neurdicom.schema.texts import whole_text
from neurdicom.security.access import Access, check_access
from neurdicom.web.listing import LISTS, send_page
from neurdicom.web.schemas import EDITS_SCHEMA, entity_schema, json_answer, page_answer

#: Most characters of the reason for a deletion.
MOST_REASON = 1000

#: Whether a deletion includes derived DICOM instances.
DERIVED = flag_parameter(
    "derived",
    "Also delete the DICOM instances that were made of its results. By default they stay in their study.",
)


def _parse_reason(text: str) -> str:
    if not 1 <= len(text) <= MOST_REASON:
        raise Invalid(f"reason has {len(text)} characters; 1 to {MOST_REASON} are expected", field="reason")
    return text


#: Why something is deleted.
REASON = parsed_parameter(
    "reason",
    "Why; the trash shows it.",
    _parse_reason,
    whole_text(r"[\s\S]{1,1000}", description="Up to 1,000 characters."),
)

#: Whether something is deleted for good.
PURGE = flag_parameter("purge", "Delete it for good, without the trash; administrators only.")

MANY = {Level.PATIENT: "patients", Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}


def entity_routes(level: Level) -> list[Route]:
    """Make the routes of a level above the instance: its list, one entity, its edits, and the list of its children."""
    child = level.child
    assert child is not None
    base = f"/api/{MANY[level]}"
    return [
        Route(base, list_handler(level)),
        Route(f"{base}/{{id}}", entity_handler(level)),
        Route(f"{base}/{{id}}/edits", edits_handler(level)),
        Route(f"{base}/{{id}}/edits/{{edit}}", edit_handler(level)),
        Route(f"{base}/{{id}}/{MANY[child]}", children_handler(level, child)),
    ]


def list_handler(level: Level) -> type[ApiHandler]:
    """Make the handler of all entities of a level."""

    class ListHandler(ApiHandler):
        search: SearchService

        @operation(
            f"List {MANY[level]}",
            tag=MANY[level],
            query=LISTS[level].parameters,
            open_query=True,
            answers={200: page_answer(level)},
        )
        async def get(self) -> None:
            query = LISTS[level].of(self)
            send_page(self, query, await self.search.find(query))

    return ListHandler


def entity_handler(level: Level) -> type[ApiHandler]:
    """Make the handler of one entity: get, change, delete."""
    one = f"{'an' if level is Level.INSTANCE else 'a'} {level}"
    below = "" if level is Level.INSTANCE else " with everything below"

    class EntityHandler(ApiHandler):
        search: SearchService
        remove: RemoveService
        edit: EditService
        rules: RuleService

        async def check_path(self, *ids: str) -> None:
            await self.search.get(level, *ids)

        @operation(f"Get {one}", tag=MANY[level], answers={200: json_answer(f"The {level}.", entity_schema(level))})
        async def get(self, entity: str) -> None:
            found = await self.search.get(level, entity)
            if level is Level.SERIES:
                found = found | {"is_stable": self.rules.is_stable(found["key"])}
            self.send_json(found)

        @operation(
            f"Change the attributes of {one}",
            tag=MANY[level],
            description="The stored files stay unchanged; the new values are applied whenever it is shown or sent.",
            json=CHANGES[level],
            answers={200: json_answer(f"The changed {level}.", entity_schema(level))},
        )
        async def put(self, entity: str) -> None:
            user = self.principal.email if self.principal else ""
            changed = await self.edit.change(level, entity, await self.json_body(), user=user)
            self.send_json(await self.search.with_labels(level, changed))

        @operation(
            f"Delete {one}{below}",
            tag=MANY[level],
            description="It goes to the trash for `trash_days`, with the results that were computed from it, its "
            "edits and its labels, and can be restored as a whole.",
            query=[DERIVED, REASON, PURGE],
            answers={204: "Deleted."},
        )
        async def delete(self, entity: str) -> None:
            purge = PURGE.of(self)
            if purge:
                check_access(Access.ADMIN, self.principal)
            deletion = Deletion(self.principal.email if self.principal else None, REASON.of(self))
            await self.remove.delete(level, entity, deletion, derived=DERIVED.of(self), purge=purge)
            self.set_status(204)
            self.finish()

    return EntityHandler


def edits_handler(level: Level) -> type[ApiHandler]:
    """Make the handler of the edits of one entity."""

    class EditsHandler(ApiHandler):
        edit: EditService

        @operation(
            f"List the edits of {'an' if level is Level.INSTANCE else 'a'} {level}",
            tag=MANY[level],
            description="All of them, the earliest first; of each field the last one counts. The original values are "
            "in the file.",
            answers={200: json_answer("The edits.", EDITS_SCHEMA)},
        )
        async def get(self, entity: str) -> None:
            self.send_json([edit.to_api() for edit in await self.edit.history(level, entity)])

    return EditsHandler


def edit_handler(level: Level) -> type[ApiHandler]:
    """Make the handler of one edit of one entity."""

    class EditHandler(ApiHandler):
        edit: EditService

        @operation(
            f"Undo an edit of {'an' if level is Level.INSTANCE else 'a'} {level}",
            tag=MANY[level],
            description="The edit before it counts again, or what the file says. Where the same field was edited "
            "later, that stays.",
            answers={204: "Undone."},
        )
        async def delete(self, entity: str, edit: str) -> None:
            await self.edit.undo(level, entity, edit, user=self.principal.email if self.principal else "")
            self.set_status(204)
            self.finish()

    return EditHandler


def children_handler(level: Level, child: Level) -> type[ApiHandler]:
    """Make the handler of the entities directly below one."""
    order = ", in slice order unless sorted" if child is Level.INSTANCE else ""

    class ChildrenHandler(ApiHandler):
        search: SearchService

        @operation(
            f"List the {MANY[child]} of a {level}{order}",
            tag=MANY[level],
            query=LISTS[child].parameters,
            open_query=True,
            answers={200: page_answer(child)},
        )
        async def get(self, entity: str) -> None:
            query = LISTS[child].of(self)
            send_page(self, query, await self.search.children(level, entity, query))

    return ChildrenHandler
