"""Routes of plugins: lists, one, upload, delete, and the schema of META.json."""

from typing import Any

from neurdicom.http.operation import STRING
from neurdicom.web.packages import Resource, package_routes
from neurdicom.workers.packages.meta import plugin_schema

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

ROUTES = package_routes(
    Resource(
        one="plugin",
        many="plugins",
        holds=(
            "A ZIP with META.json and the plugin's files. It is checked, and loaded once in a worker process, before "
            "it is accepted."
        ),
        schema=_PLUGIN,
        meta_schema=plugin_schema,
    )
)
