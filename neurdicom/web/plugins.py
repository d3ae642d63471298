"""Routes of plugins: lists, one, upload, delete, and the schema of META.json."""

from typing import Any

from neurdicom.errors import Invalid
from neurdicom.runtime.manifest import schema
from neurdicom.security.access import Access
from neurdicom.services.plugin_upload import MAX_ARCHIVE, PluginUpload
from neurdicom.web.base import ApiHandler
from neurdicom.web.listing import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, send_items
from neurdicom.web.routing import BINARY, STRING, Parameter, Route, operation
from neurdicom.web.schemas import json_answer

_NULLABLE = {"type": ["string", "null"]}
_PLUGIN: dict[str, Any] = {
    "type": "object",
    "description": "The whole META.json, with these fields of the server's.",
    "required": ["id", "name", "version", "author", "info", "help", "kind", "params", "digest", "state", "problem"],
    "properties": {
        "id": {**STRING, "description": "`plugin_guid` of META.json."},
        "name": STRING,
        "version": STRING,
        "author": STRING,
        "info": STRING,
        "help": STRING,
        "kind": {"enum": ["python", "native"]},
        "params": {"type": "object", "additionalProperties": {"type": "object"}},
        "digest": {**STRING, "description": "SHA-256 of the archive, in hexadecimal."},
        "state": {"enum": ["ready", "quarantined"]},
        "problem": {**_NULLABLE, "description": "Why it is quarantined."},
        "installed": {"type": "string", "format": "date-time"},
    },
}
_SORTABLE = ("name", "id", "version", "author", "kind", "state", "installed")
_PAGING = (
    Parameter("limit", "The most plugins to answer.", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
    Parameter("offset", "How many to skip.", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET}),
    Parameter("sort", f"Fields separated by commas, of {', '.join(_SORTABLE)}; `-` before one makes it descend."),
)


class PluginsHandler(ApiHandler):
    """All plugins."""

    upload: PluginUpload | None = None

    async def prepare(self) -> None:
        """Look at the headers, once the credential is in order."""
        await super().prepare()
        if self.request.method == "POST" and not self._finished:
            self.upload = PluginUpload(
                self.services.plugins,
                self.request.headers.get("Content-Type", ""),
                self.services.settings.max_upload or MAX_ARCHIVE,
            )

    async def data_received(self, chunk: bytes) -> None:
        """Take a piece of the archive."""
        if self.upload is not None:
            await self.upload.write(chunk)

    def on_connection_close(self) -> None:
        """Drop what the client did not finish."""
        super().on_connection_close()
        if self.upload is not None:
            self.services.plugins.drop(self.upload.abort())

    @operation(
        "List plugins",
        tag="plugins",
        query=_PAGING,
        answers={200: json_answer("A page.", {"type": "array", "items": _PLUGIN})},
    )
    async def get(self) -> None:
        """Answer a page."""
        items = [plugin.as_dict() for plugin in self.services.plugins.all()]
        for name, descends in reversed(_parse_sort(self.query("sort") or "")):
            items.sort(key=lambda item, name=name: str(item[name]).casefold(), reverse=descends)  # type: ignore[misc]
        offset = self.query_int("offset", 0, low=0, high=MAX_OFFSET)
        limit = self.query_int("limit", DEFAULT_LIMIT, low=1, high=MAX_LIMIT)
        send_items(self, items[offset : offset + limit], offset=offset, total=len(items))

    @operation(
        "Install a plugin",
        tag="plugins",
        access=Access.ADMIN,
        description=(
            "A ZIP with META.json and the plugin's files. It is checked, and loaded once in a worker process, before "
            "it is accepted. A plugin of the same `plugin_guid` is replaced; requests that run it get their answers."
        ),
        body={
            "application/zip": BINARY,
            "multipart/form-data": {"type": "object", "properties": {"file": BINARY}},
        },
        answers={
            200: json_answer("A new version of a plugin that was there.", _PLUGIN),
            201: json_answer("A new plugin.", _PLUGIN),
        },
    )
    async def post(self) -> None:
        """Install it."""
        assert self.upload is not None
        plugin, is_new = await self.upload.finish()
        self.send_json(plugin.as_dict(), 201 if is_new else 200)


class SchemaHandler(ApiHandler):
    """The schema of META.json."""

    @operation(
        "Get the JSON Schema of META.json",
        tag="plugins",
        answers={200: json_answer("JSON Schema, draft 2020-12.", {"type": "object"})},
    )
    async def get(self) -> None:
        """Answer it."""
        self.send_json(schema())


class PluginHandler(ApiHandler):
    """One plugin."""

    @operation("Get a plugin", tag="plugins", answers={200: json_answer("The plugin.", _PLUGIN)})
    async def get(self, plugin: str) -> None:
        """Answer it."""
        self.send_json(self.services.plugins.get(plugin).as_dict())

    @operation(
        "Delete a plugin",
        tag="plugins",
        access=Access.ADMIN,
        description="Requests that run it get their answers.",
        answers={204: "It is gone."},
    )
    async def delete(self, plugin: str) -> None:
        """Delete it."""
        await self.services.plugins.delete(plugin)
        self.set_status(204)
        self.finish()


def _parse_sort(text: str) -> list[tuple[str, bool]]:
    fields = [
        (part.strip().removeprefix("-"), part.strip().startswith("-")) for part in text.split(",") if part.strip()
    ]
    for name, _ in fields:
        if name not in _SORTABLE:
            raise Invalid(f"plugins can't be sorted by {name!r}; {', '.join(_SORTABLE)} are possible", field="sort")
    return fields


ROUTES = [
    Route("/api/plugins", PluginsHandler),
    Route("/api/plugins/schema", SchemaHandler),
    Route("/api/plugins/{id}", PluginHandler),
]
