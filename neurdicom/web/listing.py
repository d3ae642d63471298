"""Lists: the query of a list of entities, pages, and the links between them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from neurdicom.catalog.records import Page
from neurdicom.dicom.query.attributes import BY_FIELD, Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.dicom.query.filter_schemas import HOW, HOW_LABELS, entity_filter_schema
from neurdicom.dicom.query.filters import filter_fields, parse_filters, sort_fields
from neurdicom.dicom.query.labels import LABELS
from neurdicom.http.base import ApiHandler
from neurdicom.http.parameters import Paging, described_parameter, sort_parameter

Item = TypeVar("Item")


class ListQuery:
    """Query parameters of a list of entities: paging, sort order, and filters.

    Parameters
    ----------
    level : Level
        Level of the entities.
    """

    def __init__(self, level: Level) -> None:
        self._level = level
        self._paging = Paging("entities")
        self._sort = sort_parameter(sort_fields(level))
        filters = (
            described_parameter(field, _describe(field, level), entity_filter_schema(field))
            for field in filter_fields(level)
        )
        self._others = {each.name for each in (*self._paging.parameters, self._sort)}
        self.parameters = (*self._paging.parameters, self._sort, *filters)

    def of(self, handler: ApiHandler) -> Query:
        """Read the query of a request. Raises `Invalid` naming the parameter."""
        names = [name for name in handler.request.query_arguments if name not in self._others]
        filters = parse_filters(self._level, {name: handler.get_query_arguments(name) for name in names})
        sort = self._sort.of(handler)
        limit, offset = self._paging.of(handler)
        return Query(self._level, filters, sort, limit, offset)


def _describe(field: str, level: Level) -> str:
    if field in BY_FIELD and not (level is Level.STUDY and field == "modality"):
        return f"{BY_FIELD[field].keyword}. {HOW[BY_FIELD[field].kind]}"
    if field in ("modalities", "modality"):
        return "Modalities, separated by commas; one of the study's series has one of them."
    return HOW_LABELS if field == LABELS else f"Id of the {field}."


LISTS = {level: ListQuery(level) for level in Level}


def send_page(handler: ApiHandler, query: Query, page: Page) -> None:
    """Finish with a page: an array, the number of all entities, and the link to the next page.

    Parameters
    ----------
    handler : ApiHandler
        Answers the request.
    query : Query
        The query of the page.
    page : Page
        Its entities, and the number of all.
    """
    send_items(handler, page.items, offset=query.offset, total=page.total)


def send_slice(
    handler: ApiHandler, paging: Paging, every: Sequence[Item], to_api: Callable[[Item], dict[str, Any]]
) -> None:
    """Finish with the requested page of a list that is in memory. Raises `Invalid`.

    Parameters
    ----------
    handler : ApiHandler
        Answers the request.
    paging : Paging
        Parameters of the page.
    every : sequence
        All items.
    to_api : callable
        Converts an item for the API.
    """
    limit, offset = paging.of(handler)
    send_items(handler, [to_api(each) for each in every[offset : offset + limit]], offset=offset, total=len(every))


def send_items(handler: ApiHandler, items: list[dict[str, Any]], *, offset: int, total: int) -> None:
    """Finish with the items of a page.

    Parameters
    ----------
    handler : ApiHandler
        Answers the request.
    items : list of dict
        Items as the API shows them.
    offset : int
        Number of items before the first.
    total : int
        Number of all items.
    """
    handler.set_header("X-Total-Count", str(total))
    after = offset + len(items)
    if items and after < total:
        handler.set_header("Link", f'<{_next_url(handler, after)}>; rel="next"')
    handler.send_json(items)


def _next_url(handler: ApiHandler, offset: int) -> str:
    arguments = [
        (name, value)
        for name in handler.request.query_arguments
        if name != "offset"
        for value in handler.get_query_arguments(name, strip=False)
    ]
    return handler.public_path(f"{handler.request.path}?{urlencode([*arguments, ('offset', str(offset))])}")
