"""Routes of results: list, one, its content, delete; and the results of an entity."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from neurdicom.archive.names import EntityNames
from neurdicom.archive.search import SearchService
from neurdicom.dicom.query.attributes import Level
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import BINARY, INTEGER, NUMBER, STRING, operation
from neurdicom.http.parameters import Paging, choice_parameter, described_parameter, integer_parameter
from neurdicom.http.routing import Route
from neurdicom.processing.execute import ProcessService
from neurdicom.processing.result import KeptResult
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.run import FORMATS
from neurdicom.processing.value_query import FILTERS, KINDS, parse_filters, result_filter_schema
from neurdicom.web.entities import MANY
from neurdicom.web.listing import send_items
from neurdicom.web.process import known_validators, send_result
from neurdicom.web.schemas import json_answer

_NULLABLE = {"type": ["string", "null"]}
_STRINGS = {"type": "array", "items": STRING}
_CONTENT = {
    "type": "object",
    "properties": {
        "format": {**_NULLABLE, "description": "Format of this representation; null: it is the same for every format."},
        "frame": {"type": ["integer", "null"], "description": "Number of the frame of a stack that the picture shows."},
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
        "id": {**STRING, "description": "Id; equal for the same files, code and parameters."},
        "plugin": _NULLABLE,
        "model": _NULLABLE,
        "name": STRING,
        "version": STRING,
        "digest": {**STRING, "description": "SHA-256 of the ZIP of the plugin or model, in hexadecimal."},
        "models": {"type": "object", "description": "Models that the plugin used: id to SHA-256."},
        "params": {
            "type": "object",
            "description": "Values of the parameters; null for one of more than 10,000 characters or items, which is "
            "not kept: such a result can't be computed again once its content is evicted.",
        },
        "level": {"enum": ["instance", "series"]},
        "patient": _NULLABLE,
        "study": {**_NULLABLE, "description": "Id of the study of the first source."},
        "study_uid": {**_NULLABLE, "description": "Study Instance UID."},
        "series": {**_NULLABLE, "description": "Id of the series of the first source."},
        "series_uid": {**_NULLABLE, "description": "Series Instance UID."},
        "instances": {**_STRINGS, "description": "Ids of the source instances."},
        "instance_uids": {**_STRINGS, "description": "SOP Instance UIDs of the source instances."},
        "frame": {"type": ["integer", "null"]},
        "created": {"type": "string", "format": "date-time"},
        "seconds": {**NUMBER, "description": "Seconds that the computation took, waiting for a worker included."},
        "kind": {"enum": list(KINDS)},
        "json": {"description": "The JSON result, or the JSON beside an image; null if it is long."},
        "json_size": {**INTEGER, "description": "Bytes of the JSON."},
        "values_left_out": {
            **INTEGER,
            "description": "Number of values in the JSON that are not indexed for the filter `value`.",
        },
        "content": {"type": "array", "items": _CONTENT},
        "evicted": {
            "type": "boolean",
            "description": "Whether the content was deleted to make room; it is computed again on request.",
        },
        "stored": {**_STRINGS, "description": "Ids of the DICOM instances made of the result."},
        "stored_uids": {**_STRINGS, "description": "SOP Instance UIDs of the DICOM instances made of the result."},
        "job": {**_NULLABLE, "description": "Id of the job that computed it."},
        "links": {"type": "object"},
    },
}
_PAGING = Paging("results")
_SORT = choice_parameter(
    "sort", "Order by time of computation; `-created` is the newest first.", ("created", "-created"), "-created"
)
_FILTERS = tuple(described_parameter(name, told, result_filter_schema(name)) for name, told in FILTERS.items())
_QUERY = (*_PAGING.parameters, _SORT, *_FILTERS)
_FORMAT = choice_parameter(
    "format", "Format, as for processing. By default that of the first request for the result.", FORMATS, None
)
_FRAME = integer_parameter(
    "frame", "Number of the frame of a stack to show in a picture, from 1.", None, low=1, high=2**31 - 1
)
_PAGE = json_answer("A page of results.", {"type": "array", "items": _RESULT})


async def describe_results(
    records: Sequence[KeptResult], names: EntityNames, *, in_list: bool = False, prefix: str = ""
) -> list[dict[str, Any]]:
    """Describe results for the API: with ids in place of keys, with the patients of now, and with links.

    Parameters
    ----------
    records : sequence of KeptResult
        The results.
    names : EntityNames
        Knows the ids.
    in_list : bool
        Whether JSON that is long is left out.
    prefix : str
        Path below which the client reaches our routes.
    """
    patients = await names.patients_of(record.study for record in records if record.study)
    documents = await names.shown([record.to_api(in_list=in_list) for record in records])
    for record, document in zip(records, documents, strict=True):
        document["patient"] = patients.get(record.study or "", record.patient)
        document["links"] = _links(document, prefix)
    return documents


def _links(document: dict[str, Any], prefix: str) -> dict[str, Any]:
    api = f"{prefix}/api"
    own = f"{api}/results/{document['id']}"
    links: dict[str, Any] = {
        "self": own,
        "content": f"{own}/content",
        "sources": [f"{api}/instances/{quote(instance)}" for instance in document["instances"]],
        "stored": [f"{api}/instances/{quote(instance)}" for instance in document["stored"]],
    }
    above = {"series": "series", "study": "studies", "job": "jobs"}
    return links | {name: f"{api}/{many}/{quote(document[name])}" for name, many in above.items() if document[name]}


class _ListHandler(ApiHandler):
    results: ResultStore
    names: EntityNames

    async def _send_page(self, **fixed: str) -> None:
        given = {name: self.get_query_arguments(name) for name in FILTERS if name in self.request.query_arguments}
        for name, value in fixed.items():
            given[name] = [value]
        conditions = await self.names.by_key(parse_filters(given))
        limit, offset = _PAGING.of(self)
        newest_first = _SORT.of(self) == "-created"
        records, total = await self.results.page(conditions, limit=limit, offset=offset, newest_first=newest_first)
        items = await describe_results(records, self.names, in_list=True, prefix=self.reach.prefix)
        send_items(self, items, offset=offset, total=total)


class ResultsHandler(_ListHandler):
    """Handler of all results."""

    @operation("List results", tag="results", query=_QUERY, answers={200: _PAGE})
    async def get(self) -> None:
        """Send a page of results."""
        await self._send_page()


class ResultHandler(ApiHandler):
    """Handler of one result."""

    results: ResultStore
    names: EntityNames

    @operation("Get a result", tag="results", answers={200: json_answer("The result.", _RESULT)})
    async def get(self, result: str) -> None:
        """Send the record of a result."""
        [document] = await describe_results([await self.results.get(result)], self.names, prefix=self.reach.prefix)
        self.send_json(document)

    @operation(
        "Delete a result",
        tag="results",
        description="DICOM instances that were made of it stay.",
        answers={204: "The result is deleted."},
    )
    async def delete(self, result: str) -> None:
        """Delete a result."""
        await self.results.delete(result)
        self.set_status(204)
        self.finish()


class ContentHandler(ApiHandler):
    """Handler of the content of a result."""

    stops_with_client = True
    processing: ProcessService

    @operation(
        "Get the content of a result",
        tag="results",
        description=(
            "An image whose samples are kept can be requested in any format. Content that was deleted to make room is "
            "computed again, as long as the source files and the plugin or model are unchanged. A Range header "
            "requests a part."
        ),
        query=[_FORMAT, _FRAME],
        answers={
            200: {"description": "The content.", "content": {"*/*": {"schema": BINARY}}},
            206: {"description": "The requested range.", "content": {"*/*": {"schema": BINARY}}},
            304: "The client's copy is current.",
            410: "The content was deleted, and can't be computed again.",
        },
    )
    async def get(self, result: str) -> None:
        """Send the content of a result."""
        format, frame = _FORMAT.of(self), _FRAME.of(self)
        found = await self.processing.content(result, format, frame, known_validators(self))
        await send_result(self, found, in_parts=True)

    def compute_etag(self) -> str | None:
        """Return no validator here: the result has one that needs no hash."""
        return None


def results_of(level: Level) -> type[ApiHandler]:
    """Make the handler of the results that were computed from an entity."""
    query = tuple(each for each in _QUERY if each.name != level.value)

    class ResultsOfHandler(_ListHandler):
        search: SearchService

        @operation(
            f"List the results computed from {'an' if level is Level.INSTANCE else 'a'} {level}",
            tag="results",
            query=query,
            answers={200: _PAGE},
        )
        async def get(self, entity: str) -> None:
            found = await self.search.get(level, entity)
            await self._send_page(**{level.value: found["key"]})

    return ResultsOfHandler


ROUTES = [
    Route("/api/results", ResultsHandler),
    Route("/api/results/{id}", ResultHandler),
    Route("/api/results/{id}/content", ContentHandler),
    *(Route(f"/api/{MANY[level]}/{{id}}/results", results_of(level)) for level in Level),
]
