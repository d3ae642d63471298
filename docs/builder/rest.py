"""The REST reference: a page for each tag of the OpenAPI document, written from the route table at every build."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

INTRODUCTION = """# REST reference

Every route, written from the server's own route table when this site was built, as [openapi.json](openapi.json) is.
A running server has the same at `/api/openapi.json`, and as a page at `/api/docs`. [The REST API](../rest.md) tells
what holds for all routes: credentials, ids, lists, jobs, errors; [DICOMweb](../dicomweb.md) does so for its part.

| routes of | |
|---|---|
"""


def rest_pages(document: Json) -> dict[str, str]:
    """Write the reference.

    Parameters
    ----------
    document : dict
        An OpenAPI 3.1 document.

    Returns
    -------
    dict of str
        Markdown by file name, `index.md` first and then a page a tag, in the document's order.
    """
    index, pages = [INTRODUCTION], {}
    for each in document["tags"]:
        tag = each["name"]
        operations = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if tag in operation["tags"]
        ]
        index.append(f"| [{tag}]({tag.lower()}.md), {len(operations)} operations | {each['description']} |\n")
        title = tag if tag[:1].isupper() else tag.capitalize()
        parts = [f"# {title}\n", *(_operation(document, *operation) for operation in operations)]
        pages[f"{tag.lower()}.md"] = "\n".join(parts)
    return {"index.md": "".join(index), **pages}


def _operation(document: Json, path: str, method: str, operation: Json) -> str:
    parts = [f"## {method.upper()} {path} {{ #{operation['operationId']} }}", f"{operation['summary']}."]
    if description := operation.get("description"):
        parts.append(description)
    parts += _parameters(operation.get("parameters", []))
    if body := operation.get("requestBody"):
        types = ", ".join(f"`{media_type}`" for media_type in body["content"])
        parts.append(f"**Body**{'' if body.get('required', True) else ' (optional)'}: {types}")
        parts += _fields(document, body["content"], tells_required=True)
    parts.append("**Answers**")
    parts.append(_table(("status", ""), _answers(operation["responses"])))
    for status, answer in operation["responses"].items():
        if status.startswith("2") and (fields := _fields(document, answer.get("content", {}))):
            parts += [f"Members of {status}:", *fields]
    return "\n\n".join(parts) + "\n"


def _parameters(parameters: list[Json]) -> list[str]:
    rows = [
        (
            f"`{each['name']}`" + ("" if each.get("required") or each["in"] == "path" else " (optional)"),
            each["in"],
            _type(each["schema"]),
            each.get("description", ""),
        )
        for each in parameters
    ]
    return [_table(("parameter", "in", "type", ""), rows)] if rows else []


def _answers(responses: Json) -> Iterator[tuple[str, str]]:
    for status, answer in responses.items():
        types = ", ".join(f"`{media_type}`" for media_type in answer.get("content", {}))
        yield status, f"{answer['description']}{f' {types}' if types and 'problem' not in types else ''}"


def _fields(document: Json, content: Json, *, tells_required: bool = False) -> list[str]:
    schema = next((each["schema"] for name, each in content.items() if "json" in name and "schema" in each), None)
    rows = list(_rows(document, schema or {}, "", tells_required=tells_required))
    return [_table(("member", "type", ""), rows)] if rows else []


def _rows(document: Json, schema: Json, prefix: str, *, tells_required: bool) -> Iterator[tuple[str, str, str]]:
    """Yield the members of a schema at any depth: `errors[].reason`."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "items" in schema:
        yield from _rows(document, schema["items"], f"{prefix}[]", tells_required=tells_required)
    required = schema.get("required", ()) if tells_required and not prefix else ()
    for name, member in schema.get("properties", {}).items():
        path = f"{prefix}.{name}".lstrip(".")
        note = member.get("description", "")
        yield f"`{path}`" + (" (required)" if name in required else ""), _type(member), note
        yield from _rows(document, member, path, tells_required=tells_required)
    for variant in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from _rows(document, variant, prefix, tells_required=tells_required)


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return "one of " + ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if variants := schema.get("oneOf", schema.get("anyOf")):
        return " or ".join(dict.fromkeys(_type(variant) for variant in variants))
    kinds = schema.get("type", "any")
    name = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if "items" in schema:
        name = f"{name} of {_type(schema['items'])}"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    if "default" in schema:
        bounds.append(f"`{json.dumps(schema['default'])}` when absent")
    return ", ".join([name, *bounds])


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(_cell(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
