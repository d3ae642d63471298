"""Routes of results: lists, one, its content, delete; and those that came of an entity."""

from typing import Any

from neurdicom.archive.search import SearchService
from neurdicom.dicom.query.attributes import Level
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BINARY, INTEGER, NUMBER, STRING, operation
from neurdicom.http.parameters import Paging, choice_parameter, described_parameter, integer_parameter
from neurdicom.http.routing import Route
from neurdicom.processing.execute import ProcessService
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.run import FORMATS
from neurdicom.processing.value_query import FILTERS, KINDS, parse_filters
from neurdicom.web.entities import MANY
from neurdicom.web.filters import result_filter_schema
from neurdicom.web.listing import send_items
from neurdicom.web.process import known_validators, send_result
from neurdicom.web.schemas import json_answer

_NULLABLE = {"type": ["string", "null"]}
_STRINGS = {"type": "array", "items": STRING}
_CONTENT = {
    "type": "object",
    "properties": {
        "format": {**_NULLABLE, "description": "What it is given as; null: whatever is asked for."},
        "frame": {"type": ["integer", "null"], "description": "Of a stack, the one in the picture."},
        "size": INTEGER,
        "media_type": _NULLABLE,
        "shape": {"type": ["array", "null"], "items": INTEGER},
        "dtype": _NULLABLE,
    },
}
_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["id", "plugin", "model", "version", "digest", "params", "instances", "created", "kind", "links"],
    "properties": {
        "id": {**STRING, "description": "The same for the same files, code and parameters."},
        "plugin": _NULLABLE,
        "model": _NULLABLE,
        "name": STRING,
        "version": STRING,
        "digest": {**STRING, "description": "SHA-256 of the archive that computed it."},
        "models": {"type": "object", "description": "Models that the plugin reached: id to digest."},
        "params": {"type": "object"},
        "level": {"enum": ["instance", "series"]},
        "patient": _NULLABLE,
        "study": _NULLABLE,
        "series": _NULLABLE,
        "instances": _STRINGS,
        "frame": {"type": ["integer", "null"]},
        "created": {"type": "string", "format": "date-time"},
        "seconds": {**NUMBER, "description": "That computing it took, waiting for a worker included."},
        "kind": {"enum": list(KINDS)},
        "json": {"description": "The JSON result, or what came beside an image; null where it is long."},
        "json_size": {**INTEGER, "description": "Bytes of the JSON."},
        "values_left_out": {**INTEGER, "description": "Values in the JSON that `value` does not find it by."},
        "content": {"type": "array", "items": _CONTENT},
        "evicted": {"type": "boolean", "description": "The content was deleted to make room."},
        "stored": {**_STRINGS, "description": "SOP Instance UIDs of the DICOM instances that were made of it."},
        "job": {**_NULLABLE, "description": "The job that computed it."},
        "links": {"type": "object"},
    },
}
_PAGING = Paging("results")
_SORT = choice_parameter("sort", "By when they were computed.", ("created", "-created"), "-created")
_FILTERS = tuple(described_parameter(name, told, result_filter_schema(name)) for name, told in FILTERS.items())
_QUERY = (*_PAGING.parameters, _SORT, *_FILTERS)
_FORMAT = choice_parameter("format", "As in processing; absent: what was asked for first.", FORMATS, None)
_FRAME = integer_parameter("frame", "Of a stack, the one in the picture.", None, low=1, high=2**31 - 1)
_PAGE = json_answer("A page, the newest first.", {"type": "array", "items": _RESULT})


class _ListHandler(ApiHandler):
    results: ResultStore

    async def _send_page(self, **fixed: str) -> None:
        given = {name: self.get_query_arguments(name) for name in FILTERS if name in self.request.query_arguments}
        for name, value in fixed.items():
            given[name] = [value]
        conditions = parse_filters(given)
        limit, offset = _PAGING.of(self)
        newest_first = _SORT.of(self) == "-created"
        records, total = await self.results.page(conditions, limit=limit, offset=offset, newest_first=newest_first)
        send_items(self, [record.to_api(in_list=True) for record in records], offset=offset, total=total)


class ResultsHandler(_ListHandler):
    """All results."""

    @operation("List results", tag="results", query=_QUERY, answers={200: _PAGE})
    async def get(self) -> None:
        """Answer a page."""
        await self._send_page()


class ResultHandler(ApiHandler):
    """One result."""

    results: ResultStore

    @operation("Get a result", tag="results", answers={200: json_answer("The result.", _RESULT)})
    async def get(self, result: str) -> None:
        """Answer its record."""
        self.send_json((await self.results.get(result)).to_api())

    @operation(
        "Delete a result",
        tag="results",
        description="DICOM instances that were made of it stay.",
        answers={204: "It is gone."},
    )
    async def delete(self, result: str) -> None:
        """Delete it."""
        await self.results.delete(result)
        self.set_status(204)
        self.finish()


class ContentHandler(ApiHandler):
    """The content of a result."""

    stops_with_client = True
    processing: ProcessService

    @operation(
        "Get the content of a result",
        tag="results",
        description=(
            "An image is encoded anew where its samples are kept. What was deleted to make room is computed again, "
            "as long as the files and what computed it are the same. A Range header asks for a part."
        ),
        query=[_FORMAT, _FRAME],
        answers={
            200: {"description": "The content.", "content": {"*/*": {"schema": BINARY}}},
            206: {"description": "The part asked for.", "content": {"*/*": {"schema": BINARY}}},
            304: "The client's copy is current.",
            410: "It is gone, and can't be computed again.",
        },
    )
    async def get(self, result: str) -> None:
        """Answer it."""
        format, frame = _FORMAT.of(self), _FRAME.of(self)
        found = await self.processing.content(result, format, frame, known_validators(self))
        await send_result(self, found, in_parts=True)

    def compute_etag(self) -> str | None:
        """Give no validator here: there is one that needs no hash."""
        return None


def results_of(level: Level) -> type[ApiHandler]:
    """Make the handler of the results that were computed from an entity."""
    query = tuple(each for each in _QUERY if each.name != level.value)

    class ResultsOfHandler(_ListHandler):
        search: SearchService

        @operation(
            f"List the results that came of {'an' if level is Level.INSTANCE else 'a'} {level}",
            tag="results",
            query=query,
            answers={200: _PAGE},
        )
        async def get(self, entity: str) -> None:
            await self.search.get(level, entity)
            await self._send_page(**{level.value: entity})

    return ResultsOfHandler


ROUTES = [
    Route("/api/results", ResultsHandler),
    Route("/api/results/{id}", ResultHandler),
    Route("/api/results/{id}/content", ContentHandler),
    *(Route(f"/api/{MANY[level]}/{{id}}/results", results_of(level)) for level in Level),
]
