"""Routes of instances: list, one, edit, delete, tags and the file."""

from neurdicom.archive.render import RenderService
from neurdicom.archive.retrieve import RetrieveService
from neurdicom.archive.search import SearchService
from neurdicom.archive.trash.service import TrashService
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.uids import SYNTAX_SCHEMA
from neurdicom.errors import Invalid
from neurdicom.http.base import ApiHandler
from neurdicom.http.downloads import MEDIA_TYPE, send_download
from neurdicom.http.operation import BINARY, operation
from neurdicom.http.parameters import choice_parameter, flag_parameter, parsed_parameter, text_parameter
from neurdicom.http.routing import Route
from neurdicom.web.entities import edit_handler, edits_handler, entity_handler
from neurdicom.web.listing import LISTS, send_page
from neurdicom.web.schemas import page_answer
from neurdicom.web.uploads import UploadHandler
from neurdicom.web.versions import SHA256_SCHEMA, parse_sha256

_LEVEL = Level.INSTANCE
_FILE = {"description": "The file, or the requested range of it.", "content": {MEDIA_TYPE: {"schema": BINARY}}}
_TAGS_FORMAT = choice_parameter(
    "format",
    "`json`: an object of values by keyword; `dicom+json`: the DICOM JSON model (PS3.18 F). By default the Accept "
    "header decides.",
    ("json", "dicom+json"),
    None,
)
_ORIGINAL = flag_parameter("original", "Return the bytes as received, without edits.")
_VERSION = parsed_parameter(
    "version",
    "SHA-256 of a version of the instance, whose bytes are returned as received.",
    parse_sha256,
    SHA256_SCHEMA,
)
_TRANSFER_SYNTAX = text_parameter(
    "transfer_syntax",
    "UID of the transfer syntax to convert the file to. By default it is returned as stored.",
    None,
    schema=SYNTAX_SCHEMA,
)


class InstancesHandler(UploadHandler):
    """Handler of all instances; a POST stores more."""

    search: SearchService

    @operation(
        "List instances",
        tag="instances",
        query=LISTS[_LEVEL].parameters,
        open_query=True,
        answers={200: page_answer(_LEVEL)},
    )
    async def get(self) -> None:
        """Send a page of instances."""
        query = LISTS[_LEVEL].of(self)
        send_page(self, query, await self.search.find(query))


class TagsHandler(ApiHandler):
    """Handler of the elements of one instance."""

    retrieve: RetrieveService

    @operation(
        "Get the elements of an instance, without bulk data",
        tag="instances",
        description="Sequences are included. Private elements are named by their tag, as eight hexadecimal digits.",
        query=[_TAGS_FORMAT],
        answers={
            200: {
                "description": "The elements.",
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "application/dicom+json": {"schema": {"type": "object"}},
                },
            }
        },
    )
    async def get(self, instance: str) -> None:
        """Send the elements of an instance."""
        if self._format() == "json":
            self.send_json(await self.retrieve.tags(instance))
            return
        header = await self.retrieve.header(instance)
        self.set_header("Content-Type", "application/dicom+json")
        self.finish(header)

    def _format(self) -> str:
        wanted = self.query("format")
        if wanted is None:
            accepted = self.request.headers.get("Accept", "")
            return "dicom+json" if "application/dicom+json" in accepted else "json"
        # An unescaped plus sign in a query arrives as a space.
        return _TAGS_FORMAT.parse(wanted.replace(" ", "+"))


class FileHandler(ApiHandler):
    """Handler of the DICOM file of one instance."""

    renderer: RenderService
    retrieve: RetrieveService
    trash: TrashService

    @operation(
        "Get the DICOM file of an instance",
        tag="instances",
        description="Edits are applied. A Range header requests a part of the file.",
        query=[_ORIGINAL, _TRANSFER_SYNTAX, _VERSION],
        answers={200: _FILE, 206: _FILE, 304: "The client's copy is current."},
    )
    async def get(self, instance: str) -> None:
        """Stream the file of an instance."""
        original, transfer_syntax, version = _ORIGINAL.of(self), _TRANSFER_SYNTAX.of(self), _VERSION.of(self)
        if version is not None:
            if transfer_syntax is not None:
                raise Invalid(
                    "version returns bytes as received; it can't go with transfer_syntax", field="transfer_syntax"
                )
            await send_download(self, await self.trash.versions.download(instance, version))
            return
        if transfer_syntax is None:
            await send_download(self, await self.retrieve.file(instance, original=original))
            return
        if original:
            raise Invalid(
                "original=true returns the bytes as received; it can't go with transfer_syntax", field="original"
            )
        await send_download(self, await self.renderer.transcode(instance, transfer_syntax))


ROUTES = [
    Route("/api/instances", InstancesHandler),
    Route("/api/instances/{id}", entity_handler(_LEVEL)),
    Route("/api/instances/{id}/edits", edits_handler(_LEVEL)),
    Route("/api/instances/{id}/edits/{edit}", edit_handler(_LEVEL)),
    Route("/api/instances/{id}/tags", TagsHandler),
    Route("/api/instances/{id}/file", FileHandler),
]
