"""The record of a damaged file: what was received, and what is in its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from neurdicom.blobs.base import BlobDigest
from neurdicom.catalog.records import Location
from neurdicom.dicom.identity import uid_of
from neurdicom.errors import Damaged


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
        Key of the file in the blob store.
    instance : str
        Id of the instance.
    kind : DamageKind
        What is wrong.
    expected : BlobDigest
        Size and SHA-256 of the bytes that were received.
    found : BlobDigest or None
        Size and SHA-256 of the bytes that are there; None if there are none, or they can't be read.
    since : str
        When it was found, ISO 8601 in UTC.
    detail : str
        What the system says, where the file can't be read.
    """

    key: str
    instance: str
    kind: DamageKind
    expected: BlobDigest
    found: BlobDigest | None
    since: str
    detail: str = ""

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
    def has_its_size(self) -> bool:
        """True if the size of the file tells nothing of the damage."""
        return self.kind in (DamageKind.BYTES, DamageKind.UNREADABLE)

    def describe(self) -> str:
        """Describe the damage in a few words."""
        match self.kind:
            case DamageKind.MISSING:
                return "it is missing"
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
            f"the stored file is damaged ({self.describe()}): instance {uid_of(self.instance)}, expected SHA-256 "
            f"{self.expected.sha256}, found {found or 'none'}; upload it again, or repair it with `neurdicom verify`",
            expected=self.expected.sha256,
            found=found,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the record as a document of the catalog."""
        return {**self.to_api(), "instance": self.instance, "key": self.key}

    def to_api(self) -> dict[str, Any]:
        """Return the record as the API shows it."""
        return {
            "file": self.key,
            "instance": uid_of(self.instance),
            "instance_key": self.instance,
            "problem": self.kind.value,
            "expected": _digest_to_api(self.expected),
            "found": _digest_to_api(self.found) if self.found else None,
            "since": self.since,
            "detail": self.detail or self.describe(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a document of the catalog, or what the API shows."""
        found = document["found"]
        return cls(
            document["file"],
            document.get("instance_key", document["instance"]),
            DamageKind(document["problem"]),
            BlobDigest(**document["expected"]),
            BlobDigest(**found) if found else None,
            document["since"],
            document["detail"],
        )


def _digest_to_api(digest: BlobDigest) -> dict[str, Any]:
    return {"sha256": digest.sha256, "size": digest.size}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
