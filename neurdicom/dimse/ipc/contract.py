"""Values that are exchanged between the server and its DIMSE processes.

Both sides import this module, so it imports neither the protocol nor the catalog: an idle process stays small.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

#: Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4).
Refusal = tuple[int, int, int]

NO_REASON: Refusal = (1, 1, 1)
UNKNOWN_CONTEXT: Refusal = (1, 1, 2)
UNKNOWN_CALLING: Refusal = (1, 1, 3)
WRONG_CALLED: Refusal = (1, 1, 7)
LIMIT_EXCEEDED: Refusal = (2, 3, 2)
CONGESTION: Refusal = (2, 3, 1)

#: Why this server rejects an association, for its log.
REASONS: dict[Refusal, str] = {
    NO_REASON: "it proposes no presentation context, or takes PDUs that are too short",
    UNKNOWN_CONTEXT: "its application context is not that of DICOM",
    UNKNOWN_CALLING: "no DICOM node has its AE title (`neurdicom node add` adds one; setting dimse_accept)",
    WRONG_CALLED: "it called another AE title than that of this server (settings ae_title, dimse_called)",
    LIMIT_EXCEEDED: "there are as many associations as may be (setting dimse_associations)",
    CONGESTION: "the server could not decide",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The server's answer to a request for an association.

    Attributes
    ----------
    refusal : tuple of int or None
        Result, source and reason of the rejection; None if it is accepted.
    known : bool
        True if the calling AE may store, query and retrieve; otherwise it may only verify (C-ECHO).
    """

    refusal: Refusal | None = None
    known: bool = False

    def to_wire(self) -> dict[str, Any]:
        """Write the JSON form."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read the JSON form."""
        refusal = wire["refusal"]
        return cls(refusal and (refusal[0], refusal[1], refusal[2]), wire["known"])


@dataclass(frozen=True, slots=True)
class Remote:
    """Name, AE title and address of a DIMSE node."""

    name: str
    ae_title: str
    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host} port {self.port}"

    def to_wire(self) -> dict[str, Any]:
        """Write the JSON form."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read the JSON form."""
        return cls(**wire)


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Settings of a DIMSE process.

    Attributes
    ----------
    spool : str
        Folder that arrivals are written to.
    ae_title : str
        Our AE title.
    storage : {"known", "any"}
        SOP classes that are stored: those of the standard, or private ones too.
    relational : bool
        True to answer relational queries and retrievals.
    timeout : float
        Seconds that a peer may be silent.
    largest : int
        Most bytes that an instance may have; 0 for no limit.
    certificate, key, ca : str
        Paths of the TLS files; empty without TLS.
    log_level, log_format : str
        The server's settings of logging.
    """

    spool: str
    ae_title: str
    storage: str
    relational: bool
    timeout: float
    largest: int
    certificate: str
    key: str
    ca: str
    log_level: str
    log_format: str

    def to_wire(self) -> dict[str, Any]:
        """Write the JSON form."""
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read the JSON form."""
        return cls(**wire)
