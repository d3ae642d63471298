"""Paths of colliding instances over DICOMweb, and what is found there."""

from typing import Any

from tests.support.colliding import LEVELS, CollidingInstance
from tests.support.server import Server


def path_of(one: CollidingInstance, *by_key: str) -> str:
    """Path of an instance below the DICOMweb base, with its keys at these levels, and UIDs at the others."""
    steps = ((many, one.key(level) if level in by_key else one.uid(level)) for level, (many, *_) in LEVELS.items())
    return "".join(f"/{many}/{reference}" for many, reference in steps)


def key_path(one: CollidingInstance) -> str:
    """Path of an instance below the DICOMweb base by keys alone."""
    return path_of(one, *LEVELS)


def patient_id(one: CollidingInstance) -> str:
    """Patient ID of an instance."""
    return str(one.dataset.PatientID)


def retrieve_url(match: dict[str, Any]) -> str:
    """Return the Retrieve URL of a match."""
    return str(match["00081190"]["Value"][0])


def search(server: Server, path: str, **filters: str) -> list[dict[str, Any]]:
    """Search by QIDO-RS."""
    answer = server.client.get(f"/dicom-web{path}", params=filters)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def metadata(server: Server, path: str) -> list[dict[str, Any]]:
    """Retrieve the metadata of a path below the DICOMweb base, or of a Retrieve URL."""
    answer = server.client.get(f"{path if path.startswith('http') else f'/dicom-web{path}'}/metadata")
    assert answer.status_code == 200, answer.text
    return list(answer.json())
