"""The life of a series that grows: expected, growing, stable, dealt with; states and decisions without I/O."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import Any, Final, Self

#: Seconds that a commit may take.
COMMIT_SECONDS: Final = 60.0

#: Seconds past its time that a series is left to its own server.
GRACE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class GrowingSeries:
    """The document of a series that is not stable yet.

    Attributes
    ----------
    series : str
        Series Instance UID.
    epoch : str
        Names this time that it grows; another one when it grows again.
    server : str
        Who looks after it.
    until : float
        When it will be stable if nothing more comes; seconds since the epoch.
    claim, claim_until : str, float
        The lease of the server that deals with it now that it is stable.
    dealt : float
        When it was dealt with, for other servers to which instances of it came before; 0 if it was not.
    """

    series: str
    epoch: str
    server: str
    until: float
    claim: str = ""
    claim_until: float = 0.0
    dealt: float = 0.0

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a document of the catalog."""
        return cls(**document)

    def to_document(self) -> dict[str, Any]:
        """Write it as a document of the catalog."""
        return asdict(self)


class GrowthState(Enum):
    """The state of a growth; `TRANSITIONS` has the ways between them."""

    #: Instances are about to be committed; duplicates change nothing.
    EXPECTED = auto()
    #: Instances were committed, and more may come.
    GROWING = auto()
    #: Nothing came for the quiet time; a server deals with it.
    STABLE = auto()
    #: It is over: dealt with, left to another server, or nothing came of it.
    DEALT = auto()


class Step(Enum):
    """The next thing to do with a series that was quiet for its time; `next_step` decides."""

    #: Wait on: the commit of what was expected may take its time.
    WAIT = auto()
    #: Forget it: only duplicates came.
    DROP = auto()
    #: Leave it to another server, which has dealt with it since the last arrival here, or will.
    LEAVE = auto()
    #: Claim its document and deal with it.
    CLAIM = auto()
    #: Write a new document, claim that and deal with it.
    CLAIM_ANEW = auto()


class GrowthEvent(Enum):
    """An event in the life of a growth."""

    ARRIVAL = auto()
    CLAIM = auto()
    #: It was dealt with, dropped, or left to another server.
    END = auto()
    FAILURE = auto()


#: The transitions; any other event is a fault of ours.
TRANSITIONS: Final = {
    (GrowthState.EXPECTED, GrowthEvent.ARRIVAL): GrowthState.GROWING,
    (GrowthState.EXPECTED, GrowthEvent.END): GrowthState.DEALT,
    (GrowthState.EXPECTED, GrowthEvent.FAILURE): GrowthState.EXPECTED,
    (GrowthState.GROWING, GrowthEvent.ARRIVAL): GrowthState.GROWING,
    (GrowthState.GROWING, GrowthEvent.CLAIM): GrowthState.STABLE,
    (GrowthState.GROWING, GrowthEvent.END): GrowthState.DEALT,
    (GrowthState.GROWING, GrowthEvent.FAILURE): GrowthState.GROWING,
    (GrowthState.STABLE, GrowthEvent.END): GrowthState.DEALT,
    (GrowthState.STABLE, GrowthEvent.FAILURE): GrowthState.GROWING,
}


@dataclass(slots=True)
class Growth:
    """One time that a series grows, as this server sees it.

    Attributes
    ----------
    series : str
        Series Instance UID.
    since, last : float
        The event loop's time when it began, and of the last arrival.
    state : GrowthState
    document : GrowingSeries or None
        What this server wrote of it.
    is_repeated : bool
        It may have been dealt with before, by a server that crashed or could not finish.
    """

    series: str
    since: float
    last: float
    state: GrowthState = GrowthState.EXPECTED
    document: GrowingSeries | None = None
    is_repeated: bool = False

    def on(self, event: GrowthEvent) -> None:
        """Take the transition that an event causes."""
        self.state = TRANSITIONS[self.state, event]


def next_step(growth: Growth, found: GrowingSeries | None, server: str, *, wall: float, loop: float) -> Step:
    """Decide what is to be done with a series that was quiet for its time.

    Parameters
    ----------
    growth : Growth
        What this server knows of it.
    found : GrowingSeries or None
        Its document in the catalog.
    server : str
        Name of this server.
    wall, loop : float
        The time: seconds since the epoch, and of the event loop.
    """
    if growth.state is GrowthState.EXPECTED:
        return Step.WAIT if loop - growth.since < COMMIT_SECONDS else Step.DROP
    if found is None:
        return Step.CLAIM_ANEW
    if found.dealt:
        return Step.LEAVE if found.dealt >= wall - (loop - growth.last) else Step.CLAIM_ANEW
    is_ours = growth.document is not None and growth.document.epoch == found.epoch
    may_claim = is_ours or found.server == server or found.until + GRACE_SECONDS <= wall
    return Step.CLAIM if may_claim else Step.LEAVE


def is_overdue(found: GrowingSeries, *, seconds: float, wall: float) -> bool:
    """Whether the server that looks after a series, or after what is left of its document, has left it."""
    return max(found.until, found.claim_until, found.dealt + seconds) + GRACE_SECONDS < wall
