"""Who may do what: the server's verdict on a request for an association (PS3.8 9.3.4)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

#: Result, source and reason of an A-ASSOCIATE-RJ.
Refusal = tuple[int, int, int]

NO_REASON: Refusal = (1, 1, 1)
UNKNOWN_CONTEXT: Refusal = (1, 1, 2)
UNKNOWN_CALLING: Refusal = (1, 1, 3)
WRONG_CALLED: Refusal = (1, 1, 7)
LIMIT_EXCEEDED: Refusal = (2, 3, 2)
CONGESTION: Refusal = (2, 3, 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The server's answer to a request for an association.

    Attributes
    ----------
    refusal : tuple of int or None
        Why it is rejected.
    known : bool
        The calling AE may store, query and retrieve; otherwise it may only verify (C-ECHO).
    """

    refusal: Refusal | None = None
    known: bool = False

    def as_json(self) -> dict[str, Any]:
        """Give the wire form."""
        return asdict(self)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Build from the wire form."""
        refusal = json["refusal"]
        return cls(refusal and (refusal[0], refusal[1], refusal[2]), json["known"])
