"""What the lists of the four resources share: their parameters, their pages and the links between these."""

from typing import Any
from urllib.parse import urlencode

from neurdicom.catalog.base import Page
from neurdicom.dicom.query.attributes import BY_FIELD, Kind, Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.dicom.query.filters import filter_fields, parse_filters, parse_sort
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import Parameter

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
#: Far past any archive, and within what every catalog can count to.
MAX_OFFSET = 2**31 - 1

_PAGING = ("limit", "offset", "sort")
_HOW = {
    Kind.UID: "Exact; several are separated by commas.",
    Kind.CODE: "Without regard to case, `*` and `?` as in DICOM; several whole values are separated by commas.",
    Kind.TEXT: "`*` and `?` as in DICOM, without regard to case.",
    Kind.NAME: "`*` and `?` as in DICOM, without regard to case, in any component group.",
    Kind.DATE: "YYYYMMDD, or a range as 20240101-20240131, either end open.",
    Kind.TIME: "HHMMSS.FFFFFF or its beginning, or a range as 08-1159, either end open.",
    Kind.INTEGER: "A number, several separated by commas, or a range as 1-20 or 5-.",
}


def list_parameters(level: Level) -> tuple[Parameter, ...]:
    """Describe the query parameters of a list."""
    paging = (
        Parameter(
            "limit",
            "The most entities to answer.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        ),
        Parameter(
            "offset", "How many to skip.", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}
        ),
        Parameter("sort", "Fields separated by commas; `-` before one makes it descend."),
    )
    return (*paging, *(Parameter(field, _describe(field, level)) for field in filter_fields(level)))


def _describe(field: str, level: Level) -> str:
    if field in BY_FIELD and not (level is Level.STUDY and field == "modality"):
        return f"{BY_FIELD[field].keyword}. {_HOW[BY_FIELD[field].kind]}"
    if field in ("modalities", "modality"):
        return "One of its series has one of these modalities."
    return f"Id of the {field}."


def parse_query(handler: ApiHandler, level: Level) -> Query:
    """The list that a request asks for. Raises `Invalid` naming the parameter."""
    names = [name for name in handler.request.query_arguments if name not in _PAGING]
    return Query(
        level,
        parse_filters(level, {name: handler.get_query_arguments(name) for name in names}),
        parse_sort(level, handler.query("sort") or ""),
        handler.query_int("limit", DEFAULT_LIMIT, low=1, high=MAX_LIMIT),
        handler.query_int("offset", 0, low=0, high=MAX_OFFSET),
    )


def send_page(handler: ApiHandler, query: Query, page: Page) -> None:
    """Finish with a page: an array, how many there are in all, and the link to the next page."""
    send_items(handler, page.items, offset=query.offset, total=page.total)


def send_items(handler: ApiHandler, items: list[dict[str, Any]], *, offset: int, total: int) -> None:
    """Finish with these items of a list, the first of them at `offset` of `total`."""
    handler.set_header("X-Total-Count", str(total))
    after = offset + len(items)
    if items and after < total:
        handler.set_header("Link", f'<{_next_url(handler, after)}>; rel="next"')
    handler.send_json(items)


def _next_url(handler: ApiHandler, offset: int) -> str:
    request = handler.request
    arguments = [
        (name, value)
        for name in request.query_arguments
        if name != "offset"
        for value in handler.get_query_arguments(name, strip=False)
    ]
    return f"{request.protocol}://{request.host}{request.path}?{urlencode([*arguments, ('offset', str(offset))])}"
