"""Records of instances that one actor alone changes: their bytes, their earlier versions, and their trash."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from neurdicom.testing.crash.ledger import SampleInstance

#: Patient ID and SOP Instance UID, which name an instance even if several patients have the UID.
Identity = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Holding:
    """An instance that one actor alone changes.

    Attributes
    ----------
    sample : SampleInstance
        The instance as it was sent last.
    files : frozenset of (str or None)
        Digests of the bytes that it may have now, None for no instance; one of them is certain.
    versions : frozenset of str
        SHA-256 of the earlier versions that are there for certain.
    """

    sample: SampleInstance
    files: frozenset[str | None]
    versions: frozenset[str] = frozenset()

    @property
    def identity(self) -> Identity:
        """Patient ID and SOP Instance UID."""
        return self.sample.patient_id, self.sample.instance


@dataclass(frozen=True, slots=True)
class TrashHolding:
    """An entry of the trash that one actor alone changes.

    Attributes
    ----------
    reason : str
        Reason of the deletion, which no other has.
    files : Mapping of Identity to str
        Digests of its files by instance.
    may_be_there : frozenset of bool
        Whether it may be there, and whether it may not.
    may_be_lost : bool
        Whether it may have been emptied, so that its files may be nowhere.
    """

    reason: str
    files: Mapping[Identity, str]
    may_be_there: frozenset[bool]
    may_be_lost: bool = False


class KnownHoldings:
    """Record of the instances and trash entries that one actor alone changes, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instances: dict[Identity, Holding] = {}
        self._trash: dict[str, TrashHolding] = {}

    def note(self, sample: SampleInstance, files: Iterable[str | None], versions: Iterable[str] = ()) -> None:
        """Record the bytes that an instance may have, and its certain versions.

        Parameters
        ----------
        sample : SampleInstance
            The instance.
        files : iterable of (str or None)
            Digests of the bytes that it may have: before a request those of before and after, and then those of after.
        versions : iterable of str
            SHA-256 of the earlier versions that are there for certain.
        """
        holding = Holding(sample, frozenset(files), frozenset(versions))
        with self._lock:
            self._instances[holding.identity] = holding

    def note_trash(
        self, reason: str, files: Mapping[Identity, str], *may_be_there: bool, may_be_lost: bool = False
    ) -> None:
        """Record whether an entry of the trash may be there, and whether it may not.

        Parameters
        ----------
        reason : str
            Reason of its deletion.
        files : Mapping of Identity to str
            Digests of its files.
        *may_be_there : bool
            Both before a request, and what it is certainly after that.
        may_be_lost : bool
            Whether it may be emptied.
        """
        with self._lock:
            self._trash[reason] = TrashHolding(reason, dict(files), frozenset(may_be_there), may_be_lost)

    def find(self, identity: Identity) -> Holding | None:
        """Find an instance."""
        with self._lock:
            return self._instances.get(identity)

    def instances(self) -> list[Holding]:
        """List all instances."""
        with self._lock:
            return list(self._instances.values())

    def trash(self) -> list[TrashHolding]:
        """List all entries of the trash."""
        with self._lock:
            return list(self._trash.values())

    def restart(self, there: Mapping[Identity, str]) -> None:
        """Begin anew with the instances that a check has found, and an empty trash.

        Parameters
        ----------
        there : Mapping of Identity to str
            SHA-256 of the files that are there.
        """
        with self._lock:
            self._trash.clear()
            self._instances = {
                identity: replace(holding, files=frozenset({there[identity]}), versions=frozenset())
                for identity, holding in self._instances.items()
                if identity in there
            }
