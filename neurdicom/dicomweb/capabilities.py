"""Capabilities of the DICOMweb services (PS3.18 8.9), generated from the routes: WADL, or OpenAPI as JSON."""

from functools import lru_cache
from xml.etree import ElementTree as ET

from neurdicom.dicomweb.base import ACCEPT, TAG, DicomWebHandler
from neurdicom.http.accept import Offer
from neurdicom.http.openapi import encoded_description, operation_id, server_url
from neurdicom.http.operation import BINARY, Operation, operation
from neurdicom.http.routing import Route, RouteTable

WADL = "application/vnd.sun.wadl+xml"
_NAMESPACE = "http://wadl.dev.java.net/2009/02"
_OFFERS = (Offer(WADL), Offer("application/json"), Offer("application/xml"), Offer("text/xml"))
_ANSWERS = {
    200: {
        "description": "The paths, methods, parameters and media types.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            **{name: {"schema": BINARY} for name in (WADL, "application/xml", "text/xml")},
        },
    }
}


class Capabilities(DicomWebHandler):
    """Handler for the capabilities, at the base."""

    table: RouteTable

    @operation("Get the capabilities of the DICOMweb services", tag=TAG, query=[ACCEPT], answers=_ANSWERS)
    async def get(self) -> None:
        """Answer with the capabilities."""
        await self._send()

    @operation("Get the capabilities of the DICOMweb services", tag=TAG, query=[ACCEPT], answers=_ANSWERS)
    async def options(self) -> None:
        """Answer with the capabilities, as PS3.18 8.9 requires."""
        await self._send()

    async def _send(self) -> None:
        media_type = self.negotiate(_OFFERS).offer.media_type
        routes = tuple(route for route in self.table if _is_own(route))
        server = server_url(self)
        body = encoded_description(routes, server) if media_type == "application/json" else _as_wadl(routes, server)
        await self.send_body(body, media_type)


def _is_own(route: Route) -> bool:
    return any(each.tag == TAG for each in route.operations().values())


@lru_cache(maxsize=8)
def _as_wadl(routes: tuple[Route, ...], server: str) -> bytes:
    application = ET.Element("application", xmlns=_NAMESPACE)
    resources = ET.SubElement(application, "resources", base=server.rstrip("/") + "/")
    for route in routes:
        resource = ET.SubElement(resources, "resource", path=route.path.lstrip("/"))
        for name in route.names:
            ET.SubElement(resource, "param", name=name, style="template", required="true")
        for method, described in route.operations().items():
            _add_method(resource, route, method, described)
    ET.indent(application)
    document: bytes = ET.tostring(application, encoding="utf-8", xml_declaration=True)
    return document


def _add_method(resource: ET.Element, route: Route, method: str, described: Operation) -> None:
    element = ET.SubElement(resource, "method", name=method.upper(), id=operation_id(method, route.path))
    ET.SubElement(element, "doc", title=described.summary)
    request = ET.SubElement(element, "request")
    for parameter in described.query:
        required = str(parameter.required).lower()
        for name in parameter.names:
            ET.SubElement(request, "param", name=name, style="query", required=required)
    for media_type in described.content:
        ET.SubElement(request, "representation", mediaType=media_type)
    for status, answer in described.answers.items():
        response = ET.SubElement(element, "response", status=str(status))
        for media_type in answer.get("content", {}) if not isinstance(answer, str) else ():
            ET.SubElement(response, "representation", mediaType=media_type)
