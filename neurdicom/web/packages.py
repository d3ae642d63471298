"""Handlers of plugins and models: list, one, upload, delete, and the schema of META.json."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import FILE, STRING, operation
from neurdicom.http.parameters import Paging, sort_parameter
from neurdicom.http.routing import Route
from neurdicom.http.streamed import StreamedHandler
from neurdicom.plugins.service import ModelService, PackageService, PluginService
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.execute import ProcessService
from neurdicom.schema import Schema
from neurdicom.security.access import Access
from neurdicom.web.entities import DERIVED
from neurdicom.web.listing import send_slice
from neurdicom.web.package_upload import MAX_ARCHIVE, PackageUpload
from neurdicom.web.schemas import json_answer

_SORT = sort_parameter(("name", "id", "version", "author", "kind", "state", "installed"))


def package_schema(
    id: str,
    *,
    kinds: Sequence[str],
    required: Mapping[str, Schema],
    optional: Mapping[str, Schema] = MappingProxyType({}),
) -> dict[str, Any]:
    """Make the JSON Schema of a plugin or a model, as the API shows it.

    Parameters
    ----------
    id : str
        Description of its id.
    kinds : sequence of str
        Values of `kind`.
    required, optional : Mapping[str, Schema]
        Fields that only plugins, or only models, have.

    Returns
    -------
    dict
    """
    texts = ("name", "version", "author", "info", "help")
    return {
        "type": "object",
        "description": "The whole META.json, with fields that the server adds.",
        "required": ["id", *texts, "kind", *required, "digest", "state", "problem"],
        "properties": {
            "id": {**STRING, "description": id},
            **dict.fromkeys(texts, STRING),
            "kind": {"enum": list(kinds)},
            **optional,
            **required,
            "digest": {**STRING, "description": "SHA-256 of the uploaded ZIP, in hexadecimal."},
            "state": {"enum": ["ready", "quarantined"]},
            "problem": {"type": ["string", "null"], "description": "Why it is quarantined, that is, not run."},
            "installed": {"type": "string", "format": "date-time"},
        },
    }


@dataclass(frozen=True, slots=True)
class Resource:
    """Plugins, or models, as a resource.

    Attributes
    ----------
    one, many : str
        Such as plugin and plugins; `many` is also the path below `/api/`.
    holds : str
        Contents of its ZIP and checks of an upload, for the description.
    schema : Schema
        JSON Schema of one, as the API shows it.
    meta_schema : callable
        Returns the JSON Schema of META.json.
    """

    one: ToolType
    many: str
    holds: str
    schema: dict[str, Any]
    meta_schema: Callable[[], Schema]


def package_routes(resource: Resource) -> list[Route]:
    """Make all routes of a resource."""
    base = f"/api/{resource.many}"
    return [
        Route(base, packages_handler(resource)),
        Route(f"{base}/schema", schema_handler(resource)),
        Route(f"{base}/{{id}}", package_handler(resource)),
    ]


class _PackageHandler(ApiHandler):
    """Base of the handlers of plugins, and of models."""

    resource: Resource
    plugins: PluginService
    models: ModelService

    @property
    def packages(self) -> PackageService[Any, Any]:
        """Service that manages the plugins, or the models."""
        return self.plugins if self.resource.one == "plugin" else self.models


def packages_handler(resource: Resource) -> type[ApiHandler]:
    """Make the handler of all packages: list, and install."""
    paging = Paging(resource.many)

    class PackagesHandler(_PackageHandler, StreamedHandler):
        streamed: PackageUpload[Any] | None = None

        def begin_body(self, content_type: str, length: int | None) -> PackageUpload[Any]:
            """Begin the upload of an archive."""
            return PackageUpload(self.packages, content_type, self.context.settings.max_upload or MAX_ARCHIVE)

        @operation(
            f"List {resource.many}",
            tag=resource.many,
            query=(*paging.parameters, _SORT),
            answers={200: json_answer(f"A page of {resource.many}.", {"type": "array", "items": resource.schema})},
        )
        async def get(self) -> None:
            items = [version.to_api() for version in self.packages.all()]
            for name, descends in reversed(_SORT.of(self)):
                items.sort(key=lambda item, name=name: str(item[name]).casefold(), reverse=descends)  # type: ignore[misc]
            send_slice(self, paging, items, dict)

        @operation(
            f"Install a {resource.one}",
            tag=resource.many,
            access=Access.ADMIN,
            description=f"{resource.holds} A {resource.one} with the same id is replaced; requests that run it are "
            "still answered.",
            body={
                "application/zip": FILE,
                "multipart/form-data": {"type": "object", "properties": {"file": FILE}, "required": ["file"]},
            },
            answers={
                200: json_answer(f"The {resource.one}, which replaces an earlier version.", resource.schema),
                201: json_answer(f"The new {resource.one}.", resource.schema),
            },
        )
        async def post(self) -> None:
            assert self.streamed is not None
            self.check_complete()
            version, is_new = await self.streamed.finish()
            self.send_json(version.to_api(), 201 if is_new else 200)

    PackagesHandler.resource = resource
    return PackagesHandler


def schema_handler(resource: Resource) -> type[ApiHandler]:
    """Make the handler of the schema of META.json."""

    class SchemaHandler(ApiHandler):
        @operation(
            f"Get the JSON Schema of a {resource.one}'s META.json",
            tag=resource.many,
            answers={200: json_answer("JSON Schema, draft 2020-12.", {"type": "object"})},
        )
        async def get(self) -> None:
            self.send_json(resource.meta_schema())

    return SchemaHandler


def package_handler(resource: Resource) -> type[ApiHandler]:
    """Make the handler of one package: get, delete."""

    class PackageHandler(_PackageHandler):
        processing: ProcessService

        @operation(
            f"Get a {resource.one}",
            tag=resource.many,
            answers={200: json_answer(f"The {resource.one}.", resource.schema)},
        )
        async def get(self, id: str) -> None:
            self.send_json(self.packages.get(id).to_api())

        @operation(
            f"Delete a {resource.one}",
            tag=resource.many,
            access=Access.ADMIN,
            description="Requests that run it are still answered. Results that it computed are deleted, too.",
            query=[DERIVED],
            answers={204: f"The {resource.one} is deleted."},
        )
        async def delete(self, id: str) -> None:
            await self.processing.delete_tool(resource.one, id, derived=DERIVED.of(self))
            self.set_status(204)
            self.finish()

    PackageHandler.resource = resource
    return PackageHandler
