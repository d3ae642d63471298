"""WADO-RS metadata (PS3.18 10.4.1.1.2): all elements without bulk data, read from the catalog alone."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import orjson

from neurdicom.archive.metadata import MetadataService
from neurdicom.archive.targets import Target
from neurdicom.dicom.codec.native_xml import to_xml
from neurdicom.dicomweb.base import ACCEPT, DICOM_XML, MODEL_CONTENT, MODEL_OFFERS, TAG, DicomWebHandler
from neurdicom.http.downloads import send_head, send_stream
from neurdicom.http.multipart import Part, send_multipart
from neurdicom.http.operation import operation

#: Datasets that are written as XML at a time, in a thread.
_XML_AT_ONCE = 20

_ANSWERS: dict[int, Any] = {
    200: {"description": "The datasets, edits applied; bulk data as URIs.", "content": MODEL_CONTENT},
    304: "The client's copy is current.",
}


class Metadata(DicomWebHandler):
    """Handler for the metadata of a study, a series or an instance."""

    metadata: MetadataService

    @operation("Get the metadata of a study, series or instance", tag=TAG, query=[ACCEPT], answers=_ANSWERS)
    async def get(self, study: str, series: str | None = None, instance: str | None = None) -> None:
        """Answer with the datasets: at once and with a validator if they are few, else streamed."""
        media_type = self.negotiate(MODEL_OFFERS).offer.media_type
        pages = self.metadata.pages(Target(study, series, instance), self.base_url)
        async with aclosing(cast(AsyncGenerator[list[bytes], None], pages)) as source:
            first = await anext(source)
            second = await anext(source, None)
            if media_type == DICOM_XML:
                await send_multipart(self, DICOM_XML, _xml_parts(_all(first, second or [], source)))
            elif second is None:
                body, etag = await asyncio.to_thread(_joined, first)
                if not self.not_modified(etag):
                    await self.send_body(body, media_type)
            else:
                self.set_header("Content-Type", media_type)
                if self.request.method == "HEAD":
                    await send_head(self)
                    return
                await send_stream(self, _array(_all(first, second, source)))
                self.finish()


def _joined(datasets: list[bytes]) -> tuple[bytes, str]:
    body = b"[" + b",".join(datasets) + b"]"
    return body, hashlib.sha256(body).hexdigest()[:32]


async def _all(first: list[bytes], second: list[bytes], rest: AsyncIterator[list[bytes]]) -> AsyncIterator[list[bytes]]:
    yield first
    yield second
    async for page in rest:
        yield page


async def _array(pages: AsyncIterator[list[bytes]]) -> AsyncIterator[bytes]:
    """Write pages of datasets as one JSON array."""
    opening = b"["
    async for page in pages:
        yield opening + b",".join(page)
        opening = b","
    yield b"]"


async def _xml_parts(pages: AsyncIterator[list[bytes]]) -> AsyncIterator[Part]:
    async for page in pages:
        for start in range(0, len(page), _XML_AT_ONCE):
            for document in await asyncio.to_thread(_as_xml, page[start : start + _XML_AT_ONCE]):
                yield Part.of(DICOM_XML, document)


def _as_xml(datasets: list[bytes]) -> list[bytes]:
    return [to_xml(orjson.loads(dataset)) for dataset in datasets]
