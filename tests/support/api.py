"""First steps of most tests with a server: store files, install plugins."""

from pathlib import Path
from typing import Any

import httpx


def upload(http: httpx.Client, file: bytes | Path) -> dict[str, str]:
    """Store a file; its result, with the ids of what it belongs to."""
    content = file.read_bytes() if isinstance(file, Path) else file
    answer = http.post("/api/instances", content=content, headers={"Content-Type": "application/dicom"})
    assert answer.status_code in (200, 201), answer.text
    (result,) = answer.json()["results"]
    return dict(result)


def install(http: httpx.Client, archive: bytes) -> dict[str, Any]:
    """Install a plugin, or another version of it; the plugin as the API shows it."""
    answer = http.post("/api/plugins", content=archive, headers={"Content-Type": "application/zip"})
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


def empty_trash(http: httpx.Client) -> None:
    """Delete for good all that lies in the trash."""
    for entry in http.get("/api/trash", params={"limit": 1000}).json():
        assert http.delete(f"/api/trash/{entry['id']}").status_code == 204
