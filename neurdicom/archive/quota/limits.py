"""Limits of the quota, their use, and the alert if nothing more may be deleted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from neurdicom.archive.trash.entry import SECONDS_A_DAY

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """Limits of what the archive holds.

    Attributes
    ----------
    max_storage : float
        MiB of all instances and of the trash; 0 for no limit.
    max_age_days : float
        Days after the last arrival of a study; 0 for no limit.
    """

    max_storage: float = 0.0
    max_age_days: float = 0.0

    @property
    def bytes(self) -> int:
        """`max_storage` in bytes."""
        return int(self.max_storage * MIB)

    @property
    def seconds(self) -> float:
        """`max_age_days` in seconds."""
        return self.max_age_days * SECONDS_A_DAY


@dataclass(frozen=True, slots=True)
class QuotaAlert:
    """Alert that the archive is over its limit, and nothing more may be deleted.

    Attributes
    ----------
    since : str
        When it was first so, ISO 8601 in UTC.
    used : int
        Bytes of all instances and of the trash.
    detail : str
        What is left, and why it stays.
    """

    since: str
    used: int
    detail: str

    def to_document(self) -> dict[str, Any]:
        """Write the member of the quota's document."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Self | None:
        """Read the member that `to_document` wrote; None if there is no alert."""
        return None if document is None else cls(**document)


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """Use of the limits.

    Attributes
    ----------
    instances : int
        Bytes of the files of instances.
    trash_entries, trash : int
        Number of the entries of the trash, and bytes of their files.
    protected_studies, protected : int
        Number of the protected studies, and bytes of their files.
    alert : QuotaAlert or None
        The alert, if there is one.
    """

    instances: int = 0
    trash_entries: int = 0
    trash: int = 0
    protected_studies: int = 0
    protected: int = 0
    alert: QuotaAlert | None = None

    @property
    def bytes(self) -> int:
        """Bytes that count for `max_storage`."""
        return self.instances + self.trash
