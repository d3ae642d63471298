"""One version of a plugin or a model, as it is installed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from neurdicom.workers.program import Kind, Program


class Described(Protocol):
    """What every META.json says."""

    @property
    def guid(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...

    def as_json(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Installed(ABC):
    """One version of what a user installs.

    Attributes
    ----------
    manifest : Described
        Its META.json.
    kind : str
        What its files make it.
    target : str
        The file that a worker loads, relative to the package's folder.
    digest : str
        SHA-256 of the archive, in hexadecimal.
    installed : str
        When, ISO 8601 in UTC.
    problem : str or None
        Why it is quarantined; None while it is ready.
    """

    manifest: Described
    kind: Kind
    target: str
    digest: str
    installed: str
    problem: str | None = None

    @property
    def id(self) -> str:
        """The id in the API."""
        return self.manifest.guid

    @property
    def state(self) -> Literal["ready", "quarantined"]:
        """Whether it is run."""
        return "ready" if self.problem is None else "quarantined"

    def as_dict(self) -> dict[str, Any]:
        """As the API gives it."""
        own = {key: getattr(self, key) for key in ("id", "kind", "digest", "state", "problem", "installed")}
        return self.manifest.as_dict() | own

    def as_document(self) -> dict[str, Any]:
        """As the catalog keeps it. The META.json goes as text: its keys are the author's, and may be any."""
        own = {key: getattr(self, key) for key in ("id", "kind", "target", "digest", "installed", "problem")}
        return {**own, "meta": self.manifest.as_json()}

    @classmethod
    @abstractmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `as_document` gave. Raises `Invalid` when this version of the server refuses its META.json."""

    @abstractmethod
    def program(self, folder: Path, *, timeout: float, memory: int) -> Program:
        """What a worker loads.

        Parameters
        ----------
        folder : Path
            Where the package is extracted.
        timeout : float
            The administrator's cap for one call, in seconds.
        memory : int
            The administrator's cap for one worker, in MiB.
        """


def capped(wanted: float | None, cap: float) -> float:
    """What a META.json asks for, of seconds or MiB, below the administrator's cap."""
    return min(cap, wanted or cap)
