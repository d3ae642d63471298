"""Routes of models: lists, one, upload, delete, and the schema of META.json."""

from typing import Any

from neurdicom.http.operation import STRING
from neurdicom.web.packages import Resource, package_routes
from neurdicom.workers.model.manifest import schema

_TENSOR = {
    "type": "object",
    "properties": {"name": STRING, "type": STRING, "shape": {"type": "array", "items": {}}},
}
_MODEL: dict[str, Any] = {
    "type": "object",
    "description": "The whole META.json, with these fields of the server's.",
    "required": ["id", "name", "version", "author", "info", "help", "kind", "network", "digest", "state", "problem"],
    "properties": {
        "id": {**STRING, "description": "`model_guid` of META.json, or else the name."},
        "name": STRING,
        "version": STRING,
        "author": STRING,
        "info": STRING,
        "help": STRING,
        "kind": {"enum": ["classification", "segmentation", "image"]},
        "input": {"type": "object"},
        "output": {"type": "object"},
        "network": {
            "type": "object",
            "description": "What the upload found in the ONNX file, and the shape that a trial gave.",
            "properties": {
                "input": _TENSOR,
                "outputs": {"type": "array", "items": _TENSOR},
                "result": _TENSOR,
                "classes": {"type": "integer"},
                "opset": {"type": "object"},
                "producer": STRING,
                "layers": {"type": "integer"},
            },
        },
        "digest": {**STRING, "description": "SHA-256 of the archive, in hexadecimal."},
        "state": {"enum": ["ready", "quarantined"]},
        "problem": {"type": ["string", "null"], "description": "Why it is quarantined."},
        "installed": {"type": "string", "format": "date-time"},
    },
}

ROUTES = package_routes(
    Resource(
        one="model",
        many="models",
        holds=(
            "A ZIP with META.json and one ONNX file, with its external data if it has any. The network is checked, "
            "and run once on zeros in a worker process, before it is accepted."
        ),
        schema=_MODEL,
        meta_schema=schema,
    )
)
