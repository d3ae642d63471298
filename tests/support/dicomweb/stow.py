"""Bodies of Store transactions, and what answers say."""

from collections.abc import Iterable
from typing import Any

import httpx

from tests.support.server import Server

BOUNDARY = "next-one"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
METADATA = f'multipart/related; type="application/dicom+json"; boundary="{BOUNDARY}"'


def part(content: bytes, **headers: str) -> bytes:
    """Build one part with its boundary; names of headers have underscores."""
    fields = {"Content-Type": "application/dicom"} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"--{BOUNDARY}\r\n{head}\r\n".encode() + content + b"\r\n"


def related(*parts: bytes) -> bytes:
    """A body of parts."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def store(
    server: Server,
    body: bytes | Iterable[bytes],
    study: str | None = None,
    content_type: str = RELATED,
    **headers: str,
) -> httpx.Response:
    """Send a body."""
    path = "/dicom-web/studies" + (f"/{study}" if study else "")
    return server.client.post(path, content=body, headers={"Content-Type": content_type, **headers})


def items(response: httpx.Response, key: str) -> list[dict[str, Any]]:
    """The items of one sequence of the answer, with plain values."""
    assert response.headers["Content-Type"] == "application/dicom+json"
    found = response.json().get(key, {}).get("Value", [])
    return [{tag: (element.get("Value") or [None])[0] for tag, element in item.items()} for item in found]


def stored(response: httpx.Response) -> list[str]:
    """SOP Instance UIDs of what is stored."""
    return [item["00081155"] for item in items(response, "00081199")]


def failed(response: httpx.Response) -> dict[str, int]:
    """SOP Instance UID to Failure Reason."""
    return {item["00081155"]: item["00081197"] for item in items(response, "00081198")}


def others(response: httpx.Response) -> list[int]:
    """Failure reasons of what could not even be told apart."""
    return [item["00081197"] for item in items(response, "0008119A")]
