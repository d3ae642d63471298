"""A server with rules, seen by its clients."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.api import install, upload
from tests.support.files import dicom_file
from tests.support.packages import package
from tests.support.waiting import wait_for

PLUGIN = "test.rule"

#: Notes each call in a file that a parameter names, and gives JSON.
SOURCE = """
class Plugin:
    def process(self, ds=None, note="", number=1):
        if note:
            with open(note, "a") as file:
                file.write(f"{ds.SOPInstanceUID}\\n")
        return {"uid": str(ds.SOPInstanceUID), "number": number}
"""
PARAMS = {"note": {"type": "text", "default": ""}, "number": {"type": "int", "default": 1, "range": [0, 9]}}


class RulesClient:
    """A client for the tests' plugin, rules and runs."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def install(self, source: str = SOURCE, **fields: Any) -> None:
        """Install the plugin of the tests, or another version of it."""
        install(self.http, package(source, **{"plugin_guid": PLUGIN, "params": PARAMS} | fields))

    def post_rule(self, conditions: Any, **fields: Any) -> httpx.Response:
        """Ask for a rule that runs the plugin, unless `action` says otherwise."""
        action = fields.pop("action", {"plugin": PLUGIN})
        return self.http.post("/api/rules", json={"conditions": conditions, "action": action, **fields})

    def rule(self, conditions: Any, **fields: Any) -> str:
        """Make a rule; its id."""
        answer = self.post_rule(conditions, **fields)
        assert answer.status_code == 201, answer.text
        assert answer.headers["Location"] == f"/api/rules/{answer.json()['id']}"
        return answer.json()["id"]

    def get(self, rule: str) -> dict[str, Any]:
        """A rule."""
        answer = self.http.get(f"/api/rules/{rule}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def store(self, *files: bytes) -> None:
        """Upload files, one by one."""
        for file in files:
            upload(self.http, file)

    def when(self, rule: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        """Wait until something holds of a rule."""
        return wait_for(lambda: self.get(rule), f"rule {rule}", seconds, holds=holds)

    def ran(self, rule: str, times: int = 1) -> dict[str, Any]:
        """Wait until a rule has run so often, and its jobs are over."""
        over = ("done", "failed", "cancelled")
        return self.when(
            rule, lambda now: now["runs_count"] >= times and all(run["state"] in over for run in now["runs"])
        )

    def wait_until_idle(self) -> None:
        """Wait until what was stored so far has been dealt with: a series that comes now is, after all of it."""
        last = self.rule({"patient_id": "LAST"})
        number = time.time_ns() % 10**12
        self.store(dicom_file(1, study=987, series=number, patient="LAST", Modality="ZZ"))
        self.ran(last)
        assert self.http.delete(f"/api/rules/{last}").status_code == 204

    def clear(self) -> None:
        """Delete everything."""
        for rule in self.http.get("/api/rules").json():
            self.http.delete(f"/api/rules/{rule['id']}")
        for patient in self.http.get("/api/patients").json():
            self.http.delete(f"/api/patients/{patient['id']}")


def uid(number: int, study: int = 1, series: int = 1) -> str:
    """SOP Instance UID of `dicom_file`."""
    return f"1.2.826.0.1.3680043.10.1595.9.{study}.{series}.{number}"
