"""Routes of plugins and of models: list, one, upload, delete, and the schema of META.json."""

from neurdicom.http.operation import STRING
from neurdicom.web.packages import Resource, package_routes, package_schema
from neurdicom.workers.model.manifest import schema as model_schema
from neurdicom.workers.packages.meta import plugin_schema

_OBJECT = {"type": "object"}
_TENSOR = {
    "type": "object",
    "properties": {"name": STRING, "type": STRING, "shape": {"type": "array", "items": {}}},
}

PLUGINS = Resource(
    one="plugin",
    many="plugins",
    holds=(
        "A ZIP with META.json and the plugin's files. It is checked, and loaded once in a worker process, before "
        "it is accepted."
    ),
    schema=package_schema(
        "Id: `plugin_guid` of META.json.",
        kinds=("python", "native"),
        required={"params": {**_OBJECT, "additionalProperties": _OBJECT}},
    ),
    meta_schema=plugin_schema,
)

MODELS = Resource(
    one="model",
    many="models",
    holds=(
        "A ZIP with META.json and one ONNX file, with its external data if it has any. The network is checked, "
        "and run once on zeros in a worker process, before it is accepted."
    ),
    schema=package_schema(
        "Id: `model_guid` of META.json, or else its `name`.",
        kinds=("classification", "segmentation", "image"),
        optional={"input": _OBJECT, "output": _OBJECT},
        required={
            "network": {
                **_OBJECT,
                "description": "Description of the ONNX network, with the output shape of the trial run at upload.",
                "properties": {
                    "input": _TENSOR,
                    "outputs": {"type": "array", "items": _TENSOR},
                    "result": _TENSOR,
                    "classes": {"type": "integer"},
                    "opset": _OBJECT,
                    "producer": STRING,
                    "layers": {"type": "integer"},
                },
            }
        },
    ),
    meta_schema=model_schema,
)

ROUTES = [*package_routes(PLUGINS), *package_routes(MODELS)]
