"""Labels over REST, for tests."""

import uuid
from typing import Any

from tests.support.archive_client import Archive

#: Levels by name, with their plurals in routes.
LEVELS = {"patient": "patients", "study": "studies", "series": "series", "instance": "instances"}


def own() -> str:
    """A label that no other test has."""
    return f"t-{uuid.uuid4().hex[:12]}"


def ids_of(archive: Archive, result: dict[str, Any]) -> dict[str, str]:
    """The ids of an instance and of what is above it, by level."""
    entity = archive.get(f"/instances/{result['id']}").json()
    return {"instance": entity["id"], **{level: entity[level] for level in ("patient", "study", "series")}}


def give(archive: Archive, path: str, label: str, status: int = 204) -> dict[str, Any]:
    """Give a label to an entity, and hold the status; the problem, if it is one."""
    answer = archive.client.put(f"/api{path}/labels/{label}")
    assert answer.status_code == status, answer.text
    return dict(answer.json()) if answer.content else {}


def take(archive: Archive, path: str, label: str, status: int = 204) -> None:
    """Take a label from an entity, and hold the status."""
    archive.delete(f"{path}/labels/{label}", status)


def labels_of(archive: Archive, ids: dict[str, str]) -> dict[str, list[str] | None]:
    """The labels of entities by level; None for one that is gone."""
    shown: dict[str, list[str] | None] = {}
    for level, id in ids.items():
        answer = archive.client.get(f"/api/{LEVELS[level]}/{id}")
        shown[level] = answer.json()["labels"] if answer.status_code == 200 else None
    return shown


def found(archive: Archive, path: str, label: str, **more: Any) -> list[str]:
    """Ids of a list that is filtered by a label, of which the number is right."""
    answer = archive.get(path, labels=label, **more)
    if "limit" not in more:
        assert answer.headers["X-Total-Count"] == str(len(answer.json()))
    return [entity["id"] for entity in answer.json()]


def counts(archive: Archive, label: str) -> dict[str, int] | None:
    """The line of a label in the list of all, by plural."""
    lines = {line.pop("label"): line for line in archive.get("/labels", limit=1000).json()}
    return lines.get(label)
