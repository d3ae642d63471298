"""The OpenAPI description `/api/openapi.json`, generated from the route tables, and the page `/api/docs`."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from html import escape
from http import HTTPStatus
from importlib import resources
from typing import Any

import orjson

from neurdicom import __version__
from neurdicom.errors import Unauthenticated
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import INTEGER, STRING, Operation, operation
from neurdicom.http.routing import Route, RouteTable
from neurdicom.schema import Schema
from neurdicom.security.access import Access
from neurdicom.security.authentication import SESSION_COOKIE

_PROBLEM_REF: Schema = {"$ref": "#/components/schemas/Problem"}

_PROBLEM: Schema = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": STRING,
        "title": STRING,
        "status": INTEGER,
        "detail": {**STRING, "description": "Explanation: what was found, what was expected, and where."},
        "code": {**STRING, "description": "Name of the problem that does not change between versions, for programs."},
        "field": {**STRING, "description": "Field, parameter or part of the input that is wrong."},
        "candidates": {
            "type": "array",
            "items": STRING,
            "description": "With `ambiguous`: ids of all the entities that the UID names.",
        },
    },
}

_SECURITY_SCHEMES: Schema = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "Token from `POST /api/users/auth` or `neurdicom user token`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "Cookie that `POST /api/users/auth` sets.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "E-mail address and password, for DICOMweb clients."},
}

#: What the routes of a tag are about.
_TAGS = {
    "instances": "DICOM instances: storing, finding, editing and deleting them, and their elements and files.",
    "patients": "Patients of the stored instances.",
    "studies": "Studies of the stored instances.",
    "series": "Series of the stored instances.",
    "conflicts": "UIDs that name several studies, series or instances.",
    "labels": "Labels that users give to patients, studies, series and instances, and find them by.",
    "trash": "What was deleted or replaced, and can be restored for a time.",
    "pixels": "Rendered pictures and decoded samples of instances.",
    "plugins": "Installed plugins.",
    "models": "Installed neural networks.",
    "processing": "Running plugins and models: on an instance at once, on more of them as a job.",
    "results": "Kept results of plugins and models.",
    "rules": "Plugins and models that are run on series by themselves, when these are stable.",
    "nodes": "Remote DICOM nodes: their addresses, queries to them, and transfers in both directions.",
    "jobs": "Long work of the server, and its progress.",
    "users": "Signing in and out, and accounts.",
    "operations": "State and metrics of the server, and this description.",
    "DICOMweb": "QIDO-RS, WADO-RS, STOW-RS (PS3.18) and WADO-URI.",
}

#: Placeholders of paths; those of ids are described by the tag, where no name says more.
_PLACEHOLDERS = {
    "plugin_id": "Id of the plugin: `plugin_guid` of its META.json.",
    "model_id": "Id of the model: `model_guid` of its META.json, or else its name.",
    "study": "Study Instance UID.",
    "series": "Series Instance UID.",
    "instance": "SOP Instance UID.",
    "frames": "Frame numbers from 1, separated by commas.",
    "path": "Path of the element.",
}
_IDS = {
    "patients": "Id of the patient, as in lists: it is made of Patient ID and its issuer.",
    "studies": "Id of the study: its key, or its Study Instance UID where that names no other.",
    "series": "Id of the series: its key, or its Series Instance UID where that names no other.",
    "instances": "Id of the instance: its key, or its SOP Instance UID where that names no other.",
    "plugins": _PLACEHOLDERS["plugin_id"],
    "models": _PLACEHOLDERS["model_id"],
    "dicom_nodes": "Name of the node.",
}

_ACCESS_NOTES = {
    Access.PUBLIC: "No credential is needed.",
    Access.USER: "",
    Access.ADMIN: "Only administrators may do this.",
}


def describe(routes: tuple[Route, ...], server: str = "/") -> dict[str, Any]:
    """Describe routes as an OpenAPI 3.1 document, with the URL of the server's root for the client."""
    paths = {
        route.path: {method: _operation(route, method, each) for method, each in route.operations().items()}
        for route in routes
    }
    tags = dict.fromkeys(each.tag for route in routes for each in route.operations().values())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "NeurDICOM",
            "version": __version__,
            "summary": "A DICOM server that runs plugins where the images are.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag, "description": _TAGS.get(tag, "")} for tag in tags],
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM}, "securitySchemes": _SECURITY_SCHEMES},
        "security": [{"bearer": []}, {"session": []}, {"basic": []}],
    }


def _operation(route: Route, method: str, described: Operation) -> dict[str, Any]:
    names = route.names
    note = _ACCESS_NOTES[described.access]
    document: dict[str, Any] = {
        "operationId": operation_id(method, route.path),
        "summary": described.summary,
        "tags": [described.tag],
        "parameters": [
            *(
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "description": _about(route, name),
                    "schema": described.path.get(name, STRING),
                }
                for name in names
            ),
            *(parameter.to_openapi() for parameter in described.query),
        ],
        "responses": _responses(described, has_id=bool(names), has_uid=_has_uid(route)),
        "x-access": str(described.access),
    }
    if described.description or note:
        document["description"] = " ".join(filter(None, (described.description, note)))
    if described.content:
        content = {media_type: {"schema": schema} for media_type, schema in described.content.items()}
        # A body is optional wherever the parameters can also come with the query.
        document["requestBody"] = {"required": not described.open_query, "content": content}
    if described.access is Access.PUBLIC:
        document["security"] = []
    return document


def _about(route: Route, placeholder: str) -> str:
    """Describe a placeholder of a path; an id by the resource in front of it."""
    if placeholder in _PLACEHOLDERS:
        return _PLACEHOLDERS[placeholder]
    resource = _resource(route, placeholder)
    return _IDS.get(resource, f"Id of the {resource.removesuffix('s')}.")


def _resource(route: Route, placeholder: str) -> str:
    """Return the part of a path in front of a placeholder."""
    return route.path.partition(f"/{{{placeholder}}}")[0].rpartition("/")[2]


def _has_uid(route: Route) -> bool:
    """Tell whether a path of the REST API names a study, a series or an instance."""
    uids = {"studies", "series", "instances"}
    return route.path.startswith("/api/") and any(_resource(route, name) in uids for name in route.names)


def operation_id(method: str, path: str) -> str:
    """Name an operation, such as `get_studies_by_id_series`; that of `/` is `get_home`."""
    path = re.sub(r"\{(\w+)\}", r"by_\1", path.removeprefix("/api/"))
    return f"{method}_{re.sub(r'[^a-z0-9]+', '_', path.lower()).strip('_') or 'home'}"


def _responses(described: Operation, *, has_id: bool, has_uid: bool) -> dict[str, Any]:
    answers: dict[int, str | Mapping[str, Any]] = {
        400: "The request is malformed.",
        405: "This path does not support the method.",
    }
    if described.access is not Access.PUBLIC:
        answers[401] = "The credential is missing, wrong or expired."
    if described.access is not Access.USER:
        answers[403] = "The user is not allowed to do this."
    if has_id:
        answers[404] = "Nothing has this id."
    if has_uid:
        answers[409] = "The UID names several; `candidates` has their ids."
    if described.content:
        answers[413] = "The body is too large."
    if described.query or described.open_query or described.content:
        answers[422] = "A value is wrong; `field` names it."
    answers |= described.answers
    responses = {str(status): _response(status, answers[status]) for status in sorted(answers)}
    responses["default"] = _response(500, "Another problem.")
    return responses


def _response(status: int, answer: str | Mapping[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = dict(answer) if isinstance(answer, Mapping) else {"description": answer}
    if status >= HTTPStatus.BAD_REQUEST and "content" not in response:
        response["content"] = {"application/problem+json": {"schema": _PROBLEM_REF}}
    return response


@lru_cache(maxsize=8)
def encoded_description(routes: tuple[Route, ...], server: str) -> bytes:
    """Encode the description of routes as JSON, as `describe` makes it."""
    return orjson.dumps(describe(routes, server), option=orjson.OPT_INDENT_2)


def server_url(handler: ApiHandler) -> str:
    """Return the URL of the server's root for a description: absolute with the setting `public_url`, else its path."""
    return handler.context.proxies.public_url or handler.reach.prefix or "/"


@cache
def docs_page() -> tuple[str, str]:
    """Make the page with its style and script inside, and the content security policy that allows only these."""
    folder = resources.files("neurdicom.http") / "static"
    style, script, page = ((folder / name).read_text(encoding="utf-8") for name in ("docs.css", "docs.js", "docs.html"))
    page = page.replace("{{version}}", escape(__version__)).replace("{{style}}", style).replace("{{script}}", script)
    policy = (
        f"default-src 'none'; style-src {hash_source(style)}; script-src {hash_source(script)}; "
        "connect-src 'self'; img-src blob: data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    return page, policy


def hash_source(text: str) -> str:
    """Make the source expression of an inline style or script (CSP level 3, 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class OpenApiHandler(ApiHandler):
    """Handler of `/api/openapi.json`, which sends the description."""

    table: RouteTable

    @operation(
        "Get the OpenAPI description",
        tag="operations",
        answers={200: {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}},
    )
    async def get(self) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        await self.finish(encoded_description(self.table, server_url(self)))


class DocsHandler(ApiHandler):
    """Handler of `/api/docs`, which sends the page that shows the description."""

    @operation(
        "Get the API documentation page",
        tag="operations",
        description="It shows this description. A browser without a session gets a sign-in form, with status 401.",
        answers={200: {"description": "The page.", "content": {"text/html": {"schema": STRING}}}},
    )
    async def get(self) -> None:
        self._send_page()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send the sign-in page to browsers without a session; answer programs as everywhere."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, Unauthenticated) and "text/html" in self.request.headers.get("Accept", ""):
            self.set_status(HTTPStatus.UNAUTHORIZED)
            self.set_header("WWW-Authenticate", 'Bearer realm="neurdicom"')
            self._send_page()
        else:
            super().write_error(status_code, **kwargs)

    def _send_page(self) -> None:
        page, policy = docs_page()
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Referrer-Policy", "no-referrer")
        self.finish(page)


ROUTES = [
    Route("/api/openapi.json", OpenApiHandler),
    Route("/api/docs", DocsHandler),
]
