"""Metadata (PS3.18 10.4.1.1.2): datasets without bulk data, from the catalog alone, edits applied, bulk data by URI."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

import orjson

from neurdicom.archive.available_syntax import with_available_syntax
from neurdicom.archive.search import SearchService
from neurdicom.archive.targets import Target, TargetService
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import DescribedInstance
from neurdicom.dicom.edits.apply import apply_to_json

#: Bytes of headers that are held at a time, enough for thousands of slices; a longer answer is streamed.
PAGE = 32 * 1024 * 1024

#: Beginning of a bulk data URI as `dicom.codec.scan` writes it. No text of a dataset can look like this, since JSON
#: escapes its quotes.
_STORED = b'"BulkDataURI":"bulk/'

#: SpecificCharacterSet at any level; the text of the model itself is UTF-8 (PS3.18 F.2).
_CHARSET = re.compile(rb'"00080005":\{(?:"vr":"CS",)?"Value":\[(?:"(?:[^"\\]|\\.)*"|null|,)*\](?:,"vr":"CS")?\}')
_CHARSET_KEY = b'"00080005":'
_UTF_8 = b'"00080005":{"vr":"CS","Value":["ISO_IR 192"]}'


class MetadataService:
    """Service that gives the metadata of a study, a series or an instance."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._targets = TargetService(catalog, SearchService(catalog))

    async def pages(self, target: Target, base_url: str) -> AsyncIterator[list[bytes]]:
        """Yield the datasets in the DICOM JSON model (PS3.18 F), each as UTF-8, in pages of bounded size.

        Parameters
        ----------
        target : Target
            Study, series or instance.
        base_url : str
            URL of the DICOMweb resources, with which the URIs of bulk data begin.

        Raises
        ------
        NotFound
            Nothing is there; before the first page.
        Ambiguous
            The path names several entities; before the first page.
        """
        key, after = await self._targets.key(target), ""
        while found := await self._catalog.described(target.level, key, after=after, budget=PAGE):
            urls = [f"{base_url}{each.path}" for each in await self._targets.paths(found)]
            yield await asyncio.to_thread(_datasets, found, urls)
            after = found[-1].instance
        if not after:  # deleted meanwhile
            raise target.missing


def _datasets(described: Sequence[DescribedInstance], urls: Sequence[str]) -> list[bytes]:
    return [_dataset(one, url) for one, url in zip(described, urls, strict=True)]


def _dataset(one: DescribedInstance, url: str) -> bytes:
    header = one.header
    if one.edits:
        header = orjson.dumps(apply_to_json(orjson.loads(header), one.edits))
    header = with_available_syntax(_in_utf_8(header), one.transfer_syntax)
    return header.replace(_STORED, f'"BulkDataURI":"{url}/bulk/'.encode())


def _in_utf_8(header: bytes) -> bytes:
    """Declare UTF-8 at all levels; mostly it is the first element, and the only one, that declares another set."""
    first = _CHARSET.match(header, 1)
    if first is not None and header.find(_CHARSET_KEY, first.end()) < 0:
        return b"{" + _UTF_8 + header[first.end() :]
    return _CHARSET.sub(_UTF_8, header)
