"""Routes that run a plugin or a model on an instance."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson

from neurdicom.archive.names import EntityNames
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Malformed
from neurdicom.http.base import ApiHandler
from neurdicom.http.bodies import LARGE_BODY
from neurdicom.http.downloads import send_buffer, send_part, send_precondition_failed
from neurdicom.http.operation import BINARY, operation
from neurdicom.http.parameters import Parameter, described_parameter
from neurdicom.http.routing import Route
from neurdicom.pixels.encode.formats import MEDIA_TYPES, OF_RESULTS
from neurdicom.plugins.params import Param, convert_arguments, decode_arguments
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.execute import ProcessService
from neurdicom.processing.run import DICOM, FORMATS, RunRequest, RunResult
from neurdicom.schema import Declaration, Schema

#: The server's own parameters of a run; a plugin's parameter of the same name takes precedence.
OPTIONS: Mapping[str, Param] = {
    "frame": Param.from_meta("frame", {"type": "int", "default": 1, "range": [1, None]}),
    "format": Param.from_meta("format", {"type": "text", "default": "png", "values": [*FORMATS, DICOM]}),
    "store": Param.from_meta("store", {"type": "bool", "default": False}),
    "cache": Param.from_meta("cache", {"type": "text", "default": "yes", "values": ["yes", "no", "true", "false"]}),
}
_DESCRIPTIONS = {
    "frame": "Number of the frame to process, from 1.",
    "format": (
        "Format of an image result: `png` and `jpeg` are scaled from minimum and maximum to 8 bits, `lum8` are raw "
        "8-bit samples, `f32`, `f64` and `npy` keep the values; `json` is the JSON that a native plugin returns beside "
        "its image; `dicom` are the DICOM instances that `store` would store. Results that are no image are returned "
        "as they are, unless `dicom` is asked for."
    ),
    "store": (
        "Store the result as DICOM instances in the source's study: images as Secondary Capture or as images of the "
        "source's kind, segmentations as SEG, measurements as a structured report, datasets as they are."
    ),
    "cache": "With `no`, the result is computed anew, and replaces a kept one.",
}

_TYPES = {"int": "integer", "bool": "boolean"}


def option_parameter(param: Param, description: str) -> Parameter[str, None]:
    """Declare an option; it is read together with the tool's own parameters, from the query or the body."""
    schema = {"type": _TYPES.get(param.type, "string"), "default": param.default}
    if param.values is not None:
        schema["enum"] = list(param.values)
    if param.low is not None:
        schema["minimum"] = int(param.low)
    return described_parameter(param.name, description, schema)


QUERY = tuple(option_parameter(param, _DESCRIPTIONS[name]) for name, param in OPTIONS.items())
PARAMETERS = (
    "The plugin's own parameters are given as further query parameters, form fields, or members of a JSON object. A "
    "list is given by repeating the parameter, with commas, or as a JSON array."
)
MODEL_PARAMETERS = (
    "A segmentation is returned as an image of labels, a classification as JSON. The parameter `threshold`, from 0 to "
    "1, replaces the model's own threshold."
)
_RESULT = {
    "description": (
        "The result. `X-Shape` and `X-Dtype` describe the samples of an image; `X-Result-Json` is the JSON that a "
        "native plugin returned beside its image, if it is short. With `store`, `X-Stored-Instances` has the ids of "
        "the stored instances (the first 100), `X-Stored-Count` their number, and `Location` the URL of the first. "
        "Several DICOM instances are sent as multipart/related. `Warning` is set if META.json does not name the "
        "modality of the instance. `X-Result-Id` is the id of the kept result, see `/api/results`; `X-Cache` is `hit` "
        "if it was computed before."
    ),
    "content": {
        **{MEDIA_TYPES[name]: {"schema": BINARY} for name in OF_RESULTS},
        "application/json": {"schema": {}},
        "application/dicom": {"schema": BINARY},
        "multipart/related": {"schema": BINARY},
    },
}

#: Bodies with a tool's parameters, which META.json of the tool declares.
FIELDS = Declaration({"type": "object", "additionalProperties": True, "maxProperties": 10_000})
FORMS: Mapping[str, Schema] = dict.fromkeys(("application/x-www-form-urlencoded", "multipart/form-data"), FIELDS.schema)

_VALIDATOR = re.compile(r'\*|(?:W/)?"[^"]*"')

#: Most characters of JSON in a header.
_LONGEST_HEADER = 4096
#: Most ids of instances in a header.
_MOST_STORED = 100


class ToolHandler(ApiHandler):
    """Base of handlers whose requests have the parameters of a tool and the server's options."""

    processing: ProcessService

    own_options: Mapping[str, Param] = OPTIONS

    async def _run_request(self, tool_type: ToolType, id: str, entity: str = "") -> RunRequest:
        """Read a request's tool, parameters and options. Raises `NotFound`, `Malformed` or `Invalid`.

        The parameters are converted when the request is resolved, by the version that is to run.
        """
        texts, values = await self._given()
        declared = self.processing.tool(tool_type, id).params
        user = self.principal.id if self.principal else ""
        request = partial(RunRequest, tool_type=tool_type, tool=id, entity=entity, user=user)
        return await self.compute(self._with_given, request, declared, texts, values)

    def _with_given(
        self,
        request: Callable[..., RunRequest],
        declared: Mapping[str, Param],
        texts: Mapping[str, Sequence[str]],
        values: Mapping[str, Any],
    ) -> RunRequest:
        """Make a request with what is given: options, but for those that the tool declares itself, and parameters."""
        options = {name: param for name, param in self.own_options.items() if name not in declared}
        chosen = convert_arguments(options, _only(texts, options), _only(values, options))
        chosen["cache"] = chosen.get("cache") not in ("no", "false")
        return request(params=_without(values, options), texts=_without(texts, options), **chosen)

    async def _given(self) -> tuple[dict[str, list[str]], Mapping[str, Any]]:
        """Read all parameters of the request: texts of query and form, and values of a JSON body."""
        texts = decode_arguments(self.request.query_arguments)
        if not self.body:
            return texts, {}
        if self.operation is None or not self.operation.content:  # whoever sends them means something by them
            raise Malformed("a GET has no body: send the parameters in the query, or with POST", field="body")
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
            for name, given in (await self.form_body()).items():
                texts.setdefault(name, []).extend(given)
            return texts, {}
        if content_type in ("", "application/json") or content_type.endswith("+json"):
            return texts, await self.json_body()
        raise Malformed(f"the body is {content_type}; JSON or a form is expected", field="Content-Type")


class ProcessByPluginHandler(ToolHandler):
    """Handler that runs a plugin on one instance."""

    names: EntityNames

    tool_type: ToolType = "plugin"

    async def check_path(self, *ids: str) -> None:
        """Check that the tool is installed; the instance is looked up once, with its file."""
        self.processing.tool(self.tool_type, ids[-1])

    @operation(
        "Run a plugin on an instance",
        tag="processing",
        description=PARAMETERS,
        query=QUERY,
        open_query=True,
        answers={200: _RESULT, 304: "The client's copy is current."},
    )
    async def get(self, instance: str, plugin: str) -> None:
        """Send the result."""
        await self._process(instance, plugin)

    @operation(
        "Run a plugin on an instance, with parameters in the body",
        tag="processing",
        description=PARAMETERS,
        query=QUERY,
        open_query=True,
        json=FIELDS,
        body=FORMS,
        answers={200: _RESULT, 412: "If-None-Match names the current result."},
    )
    async def post(self, instance: str, plugin: str) -> None:
        """Send the result."""
        await self._process(instance, plugin)

    async def _process(self, instance: str, tool: str) -> None:
        # Before the run, during which the tool may be removed.
        warning = await self.processing.warning(self.tool_type, tool, instance)
        self.stops_with_client = len(self.body) > LARGE_BODY  # it may have to wait for its turn to be read
        await self.stop_if_gone()
        request = await self._run_request(self.tool_type, tool, instance)
        known = frozenset() if request.store else known_validators(self)
        self.stops_with_client = not request.store
        await self.stop_if_gone()
        result = await self.processing.run(request, known=known)
        if result.stored:
            result = replace(result, stored=tuple(await self.names.ids(Level.INSTANCE, result.stored)))
        if warning:
            self.set_header("Warning", f'299 neurdicom "{warning}"')
        await send_result(self, result)

    def compute_etag(self) -> str | None:
        """Disable Tornado's ETag, a hash of the body: a stored result has a validator of its own."""
        return None


class ProcessByModelHandler(ProcessByPluginHandler):
    """Handler that runs a model on one instance."""

    tool_type: ToolType = "model"

    @operation(
        "Run a model on an instance",
        tag="processing",
        description=MODEL_PARAMETERS,
        query=QUERY,
        open_query=True,
        answers={200: _RESULT, 304: "The client's copy is current."},
    )
    async def get(self, instance: str, model: str) -> None:
        """Send the result."""
        await self._process(instance, model)

    @operation(
        "Run a model on an instance, with parameters in the body",
        tag="processing",
        description=MODEL_PARAMETERS,
        query=QUERY,
        open_query=True,
        json=FIELDS,
        body=FORMS,
        answers={200: _RESULT, 412: "If-None-Match names the current result."},
    )
    async def post(self, instance: str, model: str) -> None:
        """Send the result."""
        await self._process(instance, model)


def known_validators(handler: ApiHandler) -> frozenset[str]:
    """List the validators of If-None-Match (RFC 9110 13.1.2), compared weakly; `*` for any."""
    header = handler.request.headers.get("If-None-Match", "")
    return frozenset("*" if one == "*" else one.removeprefix("W/")[1:-1] for one in _VALIDATOR.findall(header))


async def send_result(handler: ApiHandler, result: RunResult, *, in_parts: bool = False) -> None:
    """Finish with a result, or with 304 or 412 if the client has it already.

    Parameters
    ----------
    handler : ApiHandler
        Answers the request.
    result : RunResult
        The result; ids of what is stored stand in place of their keys.
    in_parts : bool
        Whether a Range header is honoured.
    """
    if result.result is not None:
        handler.set_header("X-Result-Id", result.result)
        handler.set_header("Link", f'<{handler.public_path("/api/results/")}{result.result}>; rel="describedby"')
    handler.set_header("X-Cache", "hit" if result.is_cached else "miss")
    if result.etag is not None:
        handler.set_header("ETag", f'"{result.etag}"')
        handler.set_header("Cache-Control", "private, no-cache")
    if result.is_current:
        if handler.request.method not in ("GET", "HEAD"):
            send_precondition_failed(
                handler, "If-None-Match names the current result; a GET would be answered with 304"
            )
            return
        handler.set_status(HTTPStatus.NOT_MODIFIED)
        handler.finish()
        return
    reply, meta = result.reply, result.reply.meta
    handler.set_header("Content-Type", meta.get("media_type", "application/octet-stream"))
    if "shape" in meta:
        handler.set_header("X-Shape", ",".join(map(str, meta["shape"])))
    if "dtype" in meta:
        handler.set_header("X-Dtype", meta["dtype"])
    # json takes 20 times as long as orjson, whose text is never the longer one.
    if "json" in meta and len(orjson.dumps(meta["json"])) <= _LONGEST_HEADER:
        beside = json.dumps(meta["json"])
        if len(beside) <= _LONGEST_HEADER:
            handler.set_header("X-Result-Json", beside)
    if result.stored:
        handler.set_header("X-Stored-Count", str(len(result.stored)))
        handler.set_header("X-Stored-Instances", ",".join(result.stored[:_MOST_STORED]))
        handler.set_header("Location", handler.public_path(f"/api/instances/{quote(result.stored[0])}"))
    if in_parts:
        await send_part(handler, reply.body)
    else:
        await send_buffer(handler, reply.body)
        handler.finish()


def _only(given: Mapping[str, Any], names: Mapping[str, Param]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in names}


def _without(given: Mapping[str, Any], names: Mapping[str, Param]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}


ROUTES = [
    Route("/api/instances/{id}/process/by_plugin/{plugin_id}", ProcessByPluginHandler),
    Route("/api/instances/{id}/process/by_model/{model_id}", ProcessByModelHandler),
]
