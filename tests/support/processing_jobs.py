"""Processing jobs as a client of the API sees them, and a plugin that does what a test tells it to."""

from collections import Counter
from pathlib import Path
from typing import Any

from pydicom.uid import generate_uid

from tests.support.api import install
from tests.support.nodes import NodesClient
from tests.support.packages import package
from tests.support.resource_files import make_file

GUID = "test.tally"

TALLY = """
import os, signal, time

VERSION = {version!r}


class Plugin:
    def init(self):
        pass

    def process(self, ds, log="", seconds=0.0, gate="", bad=(), crash=(), hang=()):
        with open(log or os.devnull, "a") as file:
            file.write(ds.SOPInstanceUID + "\\n")
        with open(log + ".pids" if log else os.devnull, "a") as file:
            file.write("%d\\n" % os.getpid())
        time.sleep(seconds)
        while gate and not os.path.exists(gate):
            time.sleep(0.01)
        number = int(ds.InstanceNumber)
        if number in crash:
            os.kill(os.getpid(), signal.SIGSEGV)
        if number in hang:
            time.sleep(60)
        if number in bad:
            raise ValueError("slice %d is bad" % number)
        return {{"number": number, "version": VERSION}}

    def destroy(self):
        pass
"""

_LIST = {"type": "int", "isarray": True, "is_required": False}
PARAMS = {
    "log": {"type": "text", "default": ""},
    "seconds": {"type": "double", "default": 0},
    "gate": {"type": "text", "default": ""},
    "bad": _LIST,
    "crash": _LIST,
    "hang": _LIST,
}


def tally(version: str = "1", **fields: Any) -> bytes:
    """The archive of the plugin; of another version, another archive."""
    named = {"plugin_guid": GUID, "version": version, "params": PARAMS}
    return package(TALLY.format(version=version), **(named | fields))


def calls(log: Path) -> Counter[str]:
    """Count the plugin's calls for each instance."""
    return Counter(log.read_text().split()) if log.exists() else Counter()


def series_files(count: int, *, first: int = 1, **elements: Any) -> tuple[str, list[bytes]]:
    """A series' UID, and its files."""
    uid = generate_uid()
    own = {"SeriesInstanceUID": uid, "StudyInstanceUID": generate_uid()} | elements
    own |= {"PatientID": own.get("PatientID", own["StudyInstanceUID"][-16:])}
    return uid, [make_file(**{"InstanceNumber": number} | own) for number in range(first, first + count)]


class JobsClient(NodesClient):
    """A client of a server, with what tests of processing jobs need."""

    def install(self, archive: bytes) -> str:
        """Install a plugin; its digest."""
        return str(install(self.http, archive)["digest"])

    def process(self, on: str, entity: str, plugin: str = GUID, **params: Any) -> str:
        """Make a job of one entity; its id."""
        answer = self.http.post(f"/api/{on}/{entity}/process/by_plugin/{plugin}", json=params)
        assert answer.status_code == 202, answer.text
        assert answer.headers["Location"] == f"/api/jobs/{answer.json()['id']}"
        return answer.json()["id"]

    def select(self, plugin: str = GUID, **request: Any) -> str:
        """Make a job of what is selected; its id."""
        answer = self.http.post("/api/process", json={"plugin": plugin} | request)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def results(self, job: str, **query: Any) -> list[dict[str, Any]]:
        """List the results of a job's items."""
        answer = self.http.get(f"/api/jobs/{job}/results", params={"limit": 1000} | query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def cancel(self, job: str) -> dict[str, Any]:
        """Cancel a job; how it is then."""
        answer = self.http.delete(f"/api/jobs/{job}")
        assert answer.status_code == 202, answer.text
        return answer.json()
