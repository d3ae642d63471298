"""The check of where instances lie that one actor alone moves: as before a request or as after it, never in between."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from neurdicom.testing.crash.connection import ServerConnection
from neurdicom.testing.crash.listing import ArchiveListing
from neurdicom.testing.crash.places import Arrangement, KnownPlaces, Layout

#: Lists of the levels whose entities have moves among their edits, by member of an instance.
_MOVED = {"patient": "patients", "study": "studies", "series": "series"}
_FIELDS = ("patient", "study")


class PlacesCheck:
    """Check of the patients, studies and series of moved instances on an idle server.

    Parameters
    ----------
    http : ServerConnection
        The server.
    places : KnownPlaces
        What the actors know.

    Attributes
    ----------
    faults : list of str
        What is wrong.
    there : dict of str to Arrangement
        What was found, by name.
    files : Counter of str
        SHA-256 of the files that the server gives, also of those that others displace.
    displaced_bytes : int
        Bytes of the latter.
    instances : set of str
        SOP Instance UIDs of all that may be there.
    """

    def __init__(self, http: ServerConnection, places: KnownPlaces) -> None:
        self._http = http
        self._places = places
        self.faults: list[str] = []
        self.there: dict[str, Arrangement] = {}
        self.files: Counter[str] = Counter()
        self.displaced_bytes = 0
        self._sizes: dict[str, int] = {}
        self.instances = {
            uid for known in self._places.arrangements().values() for one in known for _, uid in one.files
        }

    def run(self, listing: ArchiveListing) -> None:
        """Compare where everything lies; `faults` has what is wrong."""
        for name, known in self._places.arrangements().items():
            found = self._layout(listing, known)
            matching = next((one for each in known if (one := each.matching(found)) is not None), None)
            if matching is None:
                expected = "\nor ".join(str(dict(each.layout())) for each in known)
                self.faults.append(f"what {name} owns lies as {dict(found)}; expected is {expected}")
                continue
            self.there[name] = matching
            self.files.update(digest for files in found.values() for digest in files)
            self.displaced_bytes += sum(self._sizes[digest] for files in found.values() for digest in files[1:])

    def undo(self) -> ArchiveListing | None:
        """Take all moves back that an earlier check has found, and check that all lies where the files say.

        Returns
        -------
        ArchiveListing or None
            What the server lists then; None where nothing was to be undone.
        """
        moved = [name for name in sorted(self._places.old) if name in self.there and self.there[name].moves]
        for name in moved:
            self._undo(name, self.there[name])
        if not moved:
            return None
        listing = ArchiveListing.read(self._http)
        for name in moved:
            one = self.there[name] = Arrangement(self.there[name].files)
            if (found := self._layout(listing, [one])) != one.layout():
                self.faults.append(f"what {name} owns lies as {dict(found)} after all undos; the files say {one}")
        return listing

    # -- what is there ---------------------------------------------------------------------------------------

    def _layout(self, listing: ArchiveListing, known: Iterable[Arrangement]) -> Layout:
        """Find where the instances lie that may be there."""
        wanted = {uid for one in known for _, uid in one.files}
        return {
            (*listing.place(each), each["sop_instance_uid"]): self._digests(id)
            for id, each in listing.instances.items()
            if each["sop_instance_uid"] in wanted
        }

    def _digests(self, id: str) -> tuple[str, ...]:
        files = files_of(self._http, id)
        self._sizes.update((sha256(file), len(file)) for file in files)
        return tuple(sha256(file) for file in files)

    # -- undos -----------------------------------------------------------------------------------------------

    def _undo(self, name: str, known: Arrangement) -> None:
        """Undo moves where they are listed, until none is."""
        for _ in range(len(known.moves)):
            path = self._edit(known)
            if path is None:
                return  # one of a study that a split made, which is gone, is listed nowhere
            answer = self._http.request("DELETE", path)
            if answer.status != HTTPStatus.NO_CONTENT:
                self.faults.append(f"{name}: DELETE {path} is answered with {answer.status}: {answer.body[:300]!r}")
                return
        if (left := self._edit(known)) is not None:
            self.faults.append(f"{name}: after all undos {left} is listed")

    def _edit(self, known: Arrangement) -> str | None:
        """Find the path of a move that is in force of what an actor owns."""
        return next(iter(edits_of(self._http, self._instances(known))), None)

    def _instances(self, known: Arrangement) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for uid in dict.fromkeys(uid for _, uid in known.files):
            answer = self._http.get(f"/api/instances?sop_instance_uid={uid}&limit=100")
            found += answer.json() if answer.status == HTTPStatus.OK else []
        return found


def files_of(http: ServerConnection, id: str) -> list[bytes]:
    """Read the files of an instance: the one that is shown, and those that it displaces.

    Raises `AssertionError` where one can't be read, or has other bytes.
    """
    answer = http.get(f"/api/instances/{id}/file?original=true")
    if answer.status != HTTPStatus.OK:
        raise AssertionError(f"the file of instance {id} is answered with {answer.status}: {answer.body[:200]!r}")
    found = [answer.body]
    for version in http.get(f"/api/instances/{id}/versions").json()[1:]:
        answer = http.get(f"/api/instances/{id}/file?version={version['sha256']}")
        if answer.status != HTTPStatus.OK or sha256(answer.body) != version["sha256"]:
            raise AssertionError(f"version {version['sha256']} of instance {id}: {answer.status} {answer.body[:200]!r}")
        found.append(answer.body)
    return found


def sha256(content: bytes) -> str:
    """Compute the SHA-256 of a file, as the API writes it."""
    return hashlib.sha256(content).hexdigest()


def edits_of(http: ServerConnection, instances: list[Mapping[str, Any]]) -> list[str]:
    """List the paths of the moves of what instances lie in, the latest of each entity first."""
    entities = dict.fromkeys((many, each[level]) for each in instances for level, many in _MOVED.items())
    found: list[str] = []
    for many, id in entities:
        answer = http.get(f"/api/{many}/{id}/edits")
        edits = answer.json() if answer.status == HTTPStatus.OK else []
        paths = [f"/api/{many}/{id}/edits/{each['edit']}" for each in edits if each["field"] in _FIELDS]
        found += paths[::-1]
    return found
