"""The record of a damaged file: what was received, and what is in its place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from neurdicom.blobs.base import PLACE, BlobDigest
from neurdicom.catalog.records import Location
from neurdicom.dicom.identity import uid_of
from neurdicom.errors import Damaged

#: Name of a file that is set aside: its place, and its key unless files of the place are missing.
_SET_ASIDE = re.compile(rf"(?P<place>{PLACE.pattern})(?:/(?P<key>.+))?", re.ASCII)


class DamageKind(StrEnum):
    """Kind of a file's damage."""

    #: There is no file.
    MISSING = "missing"
    #: It has another size.
    SIZE = "size"
    #: It has the size, and other bytes.
    BYTES = "bytes"
    #: The disk can't read it.
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage of the file of an instance.

    Attributes
    ----------
    key : str
        Key of the file in the blob store; empty where files of a place are missing.
    instance : str
        Key of the instance; empty where it is not known.
    kind : DamageKind
        What is wrong.
    expected : BlobDigest
        Size and SHA-256 of the bytes that were received; a size of 0 is not known, and neither is an empty SHA-256.
    found : BlobDigest or None
        Size and SHA-256 of the bytes that are there; None if there are none, or they can't be read.
    since : str
        When it was found, ISO 8601 in UTC.
    detail : str
        What the system says, where the file can't be read.
    place : str
        Place of the blob store in which it is set aside; empty for one in use.
    origin : str
        What of the trash it is of.
    """

    key: str
    instance: str
    kind: DamageKind
    expected: BlobDigest
    found: BlobDigest | None
    since: str
    detail: str = ""
    place: str = ""
    origin: str = ""

    @classmethod
    def of(cls, location: Location, found: BlobDigest | None, detail: str = "") -> Self | None:
        """Compare what was found of an instance's file with what was received; None if it is the same.

        Parameters
        ----------
        location : Location
            Of the instance.
        found : BlobDigest or None
            What is there; None for nothing.
        detail : str
            What the system says, where the file is there and can't be read.
        """
        blob = location.blob
        expected = BlobDigest(blob.size, blob.sha256)
        if found == expected:
            return None
        if found is None:
            kind = DamageKind.UNREADABLE if detail else DamageKind.MISSING
        else:
            kind = DamageKind.BYTES if found.size == blob.size else DamageKind.SIZE
        return cls(blob.key, location.instance, kind, expected, found, _now(), detail)

    @property
    def file(self) -> str:
        """Name of the file: its key, with the place where it is set aside."""
        return "/".join(part for part in (self.place, self.key) if part)

    @property
    def has_its_size(self) -> bool:
        """True if the size of the file tells nothing of the damage."""
        return self.kind in (DamageKind.BYTES, DamageKind.UNREADABLE)

    def describe(self) -> str:
        """Describe the damage in a few words."""
        match self.kind:
            case DamageKind.MISSING:
                return self.detail or "it is missing"
            case DamageKind.SIZE:
                assert self.found is not None
                return f"it has {self.found.size} bytes, {self.expected.size} are expected"
            case DamageKind.UNREADABLE:
                return f"it can't be read: {self.detail}"
        return "its bytes have changed"

    def to_error(self) -> Damaged:
        """Make the error that refuses the file."""
        found = self.found.sha256 if self.found else None
        return Damaged(
            f"the stored file is damaged ({self.describe()}): {self._subject}, expected SHA-256 "
            f"{self.expected.sha256 or 'not known'}, found {found or 'none'}; {self._advice}",
            expected=self.expected.sha256 or None,
            found=found,
        )

    @property
    def _subject(self) -> str:
        return f"{self.file}, {self.origin}" if self.place else f"instance {uid_of(self.instance)}"

    @property
    def _advice(self) -> str:
        if self.place:
            return "nothing is restored; repair it with `neurdicom verify --repair`"
        return "upload it again, or repair it with `neurdicom verify`"

    def to_document(self) -> dict[str, Any]:
        """Return the record as a document of the catalog."""
        own = {"instance": self.instance, "key": self.file, "detail": self.detail, "origin": self.origin}
        return {**self.to_api(), **own}

    def to_api(self) -> dict[str, Any]:
        """Return the record as the API shows it."""
        return {
            "file": self.file,
            "instance": uid_of(self.instance) if self.instance else None,
            "instance_key": self.instance or None,
            "entry": self.place.partition("/")[2] or None,
            "problem": self.kind.value,
            "expected": self._expected_to_api(),
            "found": _digest_to_api(self.found) if self.found else None,
            "since": self.since,
            "detail": "; ".join(part for part in (self.detail or self.describe(), self.origin) if part),
        }

    def _expected_to_api(self) -> dict[str, Any] | None:
        if not self.expected.sha256:
            return None
        return {**_digest_to_api(self.expected), "size": self.expected.size or None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a document of the catalog."""
        found, expected = document["found"], document["expected"]
        aside = _SET_ASIDE.fullmatch(document["file"])
        return cls(
            (aside["key"] or "") if aside else document["file"],
            document.get("instance_key", document["instance"]) or "",
            DamageKind(document["problem"]),
            BlobDigest(expected["size"] or 0, expected["sha256"]) if expected else BlobDigest(0, ""),
            BlobDigest(**found) if found else None,
            document["since"],
            document["detail"],
            aside["place"] if aside else "",
            document.get("origin", ""),
        )


def is_set_aside(file: str) -> bool:
    """Tell whether a damaged file lies in the trash, or is an earlier version, by its name."""
    return _SET_ASIDE.fullmatch(file) is not None


def _digest_to_api(digest: BlobDigest) -> dict[str, Any]:
    return {"sha256": digest.sha256, "size": digest.size}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
