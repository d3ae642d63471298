"""QIDO-RS, the search for studies, series and instances (PS3.18 10.6)."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson

from neurdicom.archive.query import PAGE, Matches, QueryService
from neurdicom.dicom.codec.dictionary import keyword, tag_of
from neurdicom.dicom.codec.native_xml import to_xml
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.response import DEFAULTS, REQUEST_ATTRIBUTES, RESERVED
from neurdicom.dicomweb.base import ACCEPT, DICOM_XML, MODEL_CONTENT, MODEL_OFFERS, TAG, DicomWebHandler
from neurdicom.dicomweb.search_query import SearchQuery, read_search
from neurdicom.errors import Unavailable
from neurdicom.http.accept import accepts_encoding
from neurdicom.http.downloads import send_head
from neurdicom.http.multipart import Part, send_multipart
from neurdicom.http.operation import BOOLEAN, STRING, operation
from neurdicom.http.parameters import described_parameter

_UIDS = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.INSTANCE: "00080018"}
_PATHS = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}
_CHARSET, _RETRIEVE_URL = tag_of("SpecificCharacterSet"), tag_of("RetrieveURL")
_MODALITIES, _NO_CODE = tag_of("ModalitiesInStudy"), {"vr": "CS"}
#: An empty element that has a Value, since OHIF reads the number of its modalities.
_NO_MODALITY: dict[str, Any] = {"vr": "CS", "Value": []}
#: Warnings of one answer; names come from the client.
_MOST_WARNINGS = 20
_NO_VALUE = {"type": "string", "pattern": r"^[\x00-\x20]*$", "description": "Blank: as if it were not there."}
_COUNT = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, _NO_VALUE]}
_FLAG = {"anyOf": [BOOLEAN, {"const": "", "description": "As false."}]}
_ATTRIBUTES = {"type": "string", "format": "dicom-attributes"}

_PARAMETERS = (
    ACCEPT,
    described_parameter(
        "includefield", "Attributes to return too, by keyword or tag, separated by commas; or `all`.", _ATTRIBUTES
    ),
    described_parameter("fuzzymatching", "True to match person names by the beginnings of words, in any order.", _FLAG),
    described_parameter("limit", "Most matches to return; by default all.", _COUNT),
    described_parameter("offset", "Number of matches to skip.", _COUNT),
    described_parameter(
        "PatientName", "Any attribute is a filter, by keyword, tag or path (`A.B`), with values as in C-FIND.", STRING
    ),
)
_ANSWERS: dict[int, Any] = {200: {"description": "The matches; an empty list if none.", "content": MODEL_CONTENT}}
_HOW = (
    "The newest studies come first, series and instances in the order of their UIDs. Unknown parameters, and values "
    "that mean nothing, are ignored; a Warning header names them."
)


class SearchHandler(DicomWebHandler):
    """Base class of the searches at the three levels."""

    queries: QueryService

    level: Level
    #: The levels of the UIDs in the path.
    within: tuple[Level, ...] = ()
    _finding: asyncio.Task[Matches] | None = None

    def on_connection_close(self) -> None:
        """Stop a search whose client is gone: one through all headers takes long."""
        super().on_connection_close()
        if self._finding is not None:
            self._finding.cancel()

    async def search(self, *uids: str) -> None:
        """Answer with the matches of the query below all entities that the UIDs and keys in the path name."""
        choice = self.negotiate(MODEL_OFFERS)
        query = read_search({name: self.get_query_arguments(name) for name in self.request.query_arguments})
        possible = all(query.narrow(_UIDS[of], uid) for of, uid in zip(self.within, uids, strict=True))
        if query.include != "all":
            # Where the path does not name the levels above, matches have their attributes too (PS3.18 10.6.3.3).
            above = (of for of in self.level.above if of not in (Level.PATIENT, *self.within))
            query.include.update(RESERVED)
            query.include.update(tag for of in above for tag in DEFAULTS[of] if tag != REQUEST_ATTRIBUTES)
        first = await self._find(query, query.limit, query.offset, None) if possible else Matches([], None, False)
        for name in query.unsupported[:_MOST_WARNINGS]:
            self._tell_ignored(f"{name} is not supported and was ignored")
        for tag, remark in [*first.remarks.items()][:_MOST_WARNINGS]:
            self._tell_ignored(f"{keyword(tag)} {remark}")
        self.set_header("Cache-Control", "no-cache")
        pages = self._pages(query, first)
        if choice.offer.media_type == DICOM_XML and first.items:
            await send_multipart(self, DICOM_XML, _parts(pages))
        elif choice.offer.media_type == DICOM_XML:
            self.set_header("Content-Type", f'multipart/related; type="{DICOM_XML}"; boundary=none')
            self.finish(b"--none--\r\n")
        elif not first.more or len(first.items) == query.limit:
            await self.send_body(orjson.dumps(self._described(query, first)), choice.offer.media_type)
        else:
            await self._stream(pages, choice.offer.media_type)

    def _tell_ignored(self, text: str) -> None:
        """Add a Warning header (PS3.18 8.3.4.5), in what characters a quoted string may have."""
        plain = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text[:200])
        self.add_header("Warning", f'299 neurdicom "{plain}"')

    async def _find(self, query: SearchQuery, limit: int | None, offset: int, after: str | None) -> Matches:
        finding = self.queries.find(
            self.level,
            query.keys,
            fuzzy=query.fuzzy,
            combined_datetime=True,
            include=query.include,
            limit=PAGE if limit is None else min(limit, PAGE),
            offset=offset,
            after=after,
        )
        self._finding = asyncio.create_task(finding)
        try:
            return await self._finding
        except asyncio.CancelledError as error:
            if not self._finding.cancelled():
                raise  # the server stops
            raise Unavailable("the client disconnected") from error

    async def _pages(self, query: SearchQuery, first: Matches) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the matches page by page, so that a response of any size takes little memory."""
        page, left = first, query.limit
        while True:
            if page.items:
                yield self._described(query, page)
            if left is not None:
                left -= len(page.items)
            if not page.more or left == 0:
                return
            page = await self._find(query, left, 0, page.last)

    def _described(self, query: SearchQuery, page: Matches) -> list[dict[str, Any]]:
        """Complete matches with the attributes that only this edge knows: RetrieveURL, and SpecificCharacterSet."""
        names = [_PATHS[of] for of in (*self.level.above[1:], self.level)]
        base = self.base_url
        for item, place in zip(page.items, page.places, strict=True):
            url = "/".join((base, *(f"{name}/{quote(entity)}" for name, entity in zip(names, place, strict=True))))
            item[_RETRIEVE_URL] = {"vr": "UR", "Value": [url]}
            item.setdefault(_CHARSET, RESERVED[_CHARSET])
            if item.get(_MODALITIES) == _NO_CODE:
                item[_MODALITIES] = _NO_MODALITY
        if query.include == "all":
            return [dict(sorted(item.items())) for item in page.items]
        return page.items

    async def _stream(self, pages: AsyncIterator[list[dict[str, Any]]], media_type: str) -> None:
        """Finish with a JSON array that is written as matches are found."""
        self.set_header("Content-Type", media_type)
        self.vary("Accept-Encoding")
        gzip = None
        if accepts_encoding(self.request.headers.get("Accept-Encoding", ""), "gzip"):
            self.set_header("Content-Encoding", "gzip")
            gzip = zlib.compressobj(1, wbits=31)
        before = b"["
        if self.request.method == "HEAD":
            await send_head(self)
            return
        async for page in pages:
            piece = await asyncio.to_thread(_piece, before, page, gzip)
            before = b","
            self.write(piece)
            if not await self.flush_to_client():
                return
        self.finish(gzip.compress(b"]") + gzip.flush() if gzip else b"]")


def _piece(before: bytes, page: list[dict[str, Any]], gzip: Any) -> bytes:
    piece = before + orjson.dumps(page)[1:-1]
    return bytes(gzip.compress(piece)) if gzip else piece


async def _parts(pages: AsyncIterator[list[dict[str, Any]]]) -> AsyncIterator[Part]:
    async for page in pages:
        for document in await asyncio.to_thread(lambda items: [*map(to_xml, items)], page):
            yield Part.of(f"{DICOM_XML}; charset=utf-8", document)


def _search(level: Level, *within: Level) -> type[SearchHandler]:
    """Make the handler of the search at a level, within the levels that the path names."""
    of = f" of a {within[-1]}" if within else ""

    class Search(SearchHandler):
        @operation(
            f"Search for {_PATHS[level]}{of}",
            tag=TAG,
            description=_HOW,
            query=_PARAMETERS,
            open_query=True,
            answers=_ANSWERS,
        )
        async def get(self, *uids: str) -> None:
            """Answer with the matches."""
            await self.search(*uids)

    Search.level, Search.within = level, within
    Search.__name__ = f"Search{level.value.title()}{''.join(each.value.title() for each in within)}"
    return Search


SearchStudies = _search(Level.STUDY)
SearchSeries = _search(Level.SERIES)
SearchInstances = _search(Level.INSTANCE)
SearchSeriesOfStudy = _search(Level.SERIES, Level.STUDY)
SearchInstancesOfStudy = _search(Level.INSTANCE, Level.STUDY)
SearchInstancesOfSeries = _search(Level.INSTANCE, Level.STUDY, Level.SERIES)
