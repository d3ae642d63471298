"""Base class of DICOMweb handlers: negotiation, base URL, validators, gzip, and the standard's statuses."""

import asyncio
import re
import zlib
from collections.abc import Sequence
from http import HTTPStatus

from neurdicom.addresses import DEFAULT_PORTS, has_port
from neurdicom.dicom.codec.transfer_syntaxes import EXPLICIT
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.uids import UID_FORM, check_uid
from neurdicom.errors import Invalid, NeurdicomError, NotAvailable
from neurdicom.http.accept import ANY, Choice, MediaRange, Offer, accepts_encoding, choose, parse_accept
from neurdicom.http.base import ApiHandler
from neurdicom.http.downloads import send_buffer
from neurdicom.http.operation import BINARY
from neurdicom.http.parameters import described_parameter
from neurdicom.schema import Schema
from neurdicom.schema.texts import whole_text

#: Base path, the same as Orthanc's.
BASE = "/dicom-web"

TAG = "DICOMweb"

DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"

#: Representations of datasets without bulk data (PS3.18 8.7.3.2); JSON is the default.
MODEL_OFFERS = (Offer(DICOM_JSON), Offer("application/json"), Offer(DICOM_XML, multipart=True))

ACCEPT = described_parameter(
    "accept", "Accepted media types, instead of the Accept header (PS3.18 8.3.3.1).", {"type": "string"}
)

#: OpenAPI content of a response with datasets.
MODEL_CONTENT: Schema = {
    DICOM_JSON: {"schema": {"type": "array", "items": {"type": "object"}}},
    "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
    "multipart/related": {"schema": BINARY},
}

#: UIDs in paths, or keys where they name several entities.
REFERENCE = whole_text(
    rf"{UID_FORM}(~[0-9a-f]{{8}})?",
    description="A UID, or `UID~XXXXXXXX` where the UID names several entities.",
)

#: A body below this many bytes is not worth compressing; one above the other holds the event loop.
_GZIP_FROM = 1024
_GZIP_IN_THREAD = 32 * 1024
#: As fast as the lowest level on headers, and a third smaller; the next ones take twice as long.
_GZIP_LEVEL = 3

#: Begin of the User-Agent of clients that leave the port out of their Host: dicomweb-client, which uses requests.
_PORTLESS_CLIENTS = "python-requests/"


def check_reference(value: str, field: str) -> str:
    """Check that a UID, or the UID in a key, can serve as an id, and return the value. Raises `Invalid`."""
    check_uid(uid_of(value), field)
    if not re.fullmatch(REFERENCE["pattern"], value):
        raise Invalid(f"{field} is {value[:100]!r}; a UID, or UID~XXXXXXXX, is expected", field=field)
    return value


class DicomWebHandler(ApiHandler):
    """Base class of the handlers below `BASE`; `routes` combines the handlers of a path into one class."""

    def check_query(self, known: frozenset[str]) -> None:
        """Accept unknown query parameters: servers ignore those that they do not support (PS3.18 8.3)."""

    def status_of(self, error: NeurdicomError) -> int:
        """Look up the status as in the API, but 400 for an invalid request (PS3.18 8.5)."""
        return HTTPStatus.BAD_REQUEST if isinstance(error, Invalid) else super().status_of(error)

    def challenges(self) -> list[str]:
        """Offer Basic too, for DICOMweb clients; not to a script of a page, where the browser would show its dialog."""
        by_script = self.request.headers.get("Sec-Fetch-Dest", "document") != "document"
        return [*super().challenges(), *([] if by_script else ['Basic realm="neurdicom", charset="UTF-8"'])]

    def compute_etag(self) -> str | None:
        """Compute no validator; `not_modified` sets them."""
        return None

    @property
    def base_url(self) -> str:
        """Absolute URL of the DICOMweb base, as this client reaches it; only the path if the Host header is invalid."""
        return self._site_url() + BASE

    def _site_url(self) -> str:
        headers, reach = self.request.headers, self.reach
        is_portless = headers.get("User-Agent", "").startswith(_PORTLESS_CLIENTS) and reach.is_direct
        if reach.authority is None or not is_portless or has_port(reach.authority) or "Via" in headers:
            return reach.url
        port = self.local_port()
        return reach.url if port in (None, DEFAULT_PORTS[reach.scheme]) else f"{reach.url}:{port}"

    @property
    def default_syntax(self) -> str:
        """Transfer Syntax UID of what is asked for without one (PS3.18 8.7.3.4), or `ANY`: as it is stored."""
        return ANY if self.context.settings.dicomweb_transfer_syntax == "stored" else EXPLICIT

    def negotiate(self, offers: Sequence[Offer], *, in_order: bool = False) -> Choice:
        """Choose a representation by the query parameter `accept` or the Accept header, as `choose` does.

        Raises `NotAvailable` (406).
        """
        self.vary("Accept")
        choice = choose(self.accepted(), offers, in_order=in_order)
        if choice is None:
            possible = ", ".join(dict.fromkeys(map(str, offers)))
            wanted = self._accept_header()[:500]
            raise NotAvailable(f"Accept is {wanted!r}; {possible or 'nothing'} is available", field="accept")
        return choice

    def accepted(self) -> list[MediaRange]:
        """List the alternatives that the client accepts, by the query parameter `accept` or the Accept header."""
        return parse_accept(self._accept_header())

    def _accept_header(self) -> str:
        given = self.get_query_arguments("accept")
        return ",".join(given) if any(given) else self.request.headers.get("Accept", "")

    def not_modified(self, etag: str, *, multipart: bool = False) -> bool:
        """Set the validator; finish with 304 and return True if the client's copy is current.

        A multipart response has another validator than a single one.
        """
        self.set_header("ETag", f'W/"{etag}-parts"' if multipart else f'W/"{etag}"')
        # Cached by the browser alone, and validated each time.
        self.set_header("Cache-Control", "private, no-cache")
        if not self.check_etag_header():
            return False
        self.set_status(HTTPStatus.NOT_MODIFIED)
        self.finish()
        return True

    async def send_body(self, body: bytes, media_type: str, *, compress: bool = True) -> None:
        """Finish with a body, gzipped if the client accepts that.

        Parameters
        ----------
        body : bytes
            The body.
        media_type : str
            Its media type.
        compress : bool
            False for a body that is compressed already.
        """
        self.set_header("Content-Type", media_type)
        if compress:
            self.vary("Accept-Encoding")
            encodings = self.request.headers.get("Accept-Encoding", "")
            if len(body) >= _GZIP_FROM and accepts_encoding(encodings, "gzip"):
                self.set_header("Content-Encoding", "gzip")
                small = len(body) < _GZIP_IN_THREAD
                body = _gzip(body) if small else await asyncio.to_thread(_gzip, body)
        await send_buffer(self, body)
        self.finish()


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, _GZIP_LEVEL, 31)
