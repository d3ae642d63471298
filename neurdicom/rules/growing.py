"""The state machine of a growing series: expected, growing, stable, dealt with; states and decisions without I/O."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import Any, Final, Self

#: Seconds that a commit may take.
COMMIT_SECONDS: Final = 60.0

#: Seconds past its time for which only its own server may claim a series.
GRACE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class GrowingSeries:
    """Document of a series that is not stable yet.

    Attributes
    ----------
    series : str
        Key of the series, as it was before its patient was known where its first files do not say it.
    epoch : str
        Id of this period of growth; a new one when the series grows again.
    server : str
        Name of the server that watches it.
    until : float
        When it will be stable if nothing more arrives; seconds since the epoch.
    claim, claim_until : str, float
        Lease of the server that runs the rules now that it is stable.
    dealt : float
        When the rules were run, for other servers that had received instances of it before; 0 if they were not.
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
        """Return the series as a document of the catalog."""
        return asdict(self)


class GrowthState(Enum):
    """State of a period of growth; `TRANSITIONS` has the allowed changes."""

    #: Instances are about to be committed; duplicates change nothing.
    EXPECTED = auto()
    #: Instances were committed, and more may come.
    GROWING = auto()
    #: Nothing arrived for the quiet time; a server runs the rules.
    STABLE = auto()
    #: It is over: the rules were run, it was left to another server, or only duplicates arrived.
    DEALT = auto()


class Step(Enum):
    """Next step for a series that was quiet for its time; `next_step` decides."""

    #: Wait on: the expected instances may still be committed.
    WAIT = auto()
    #: Forget it: only duplicates arrived.
    DROP = auto()
    #: Leave it to another server, which has run the rules since the last arrival here, or will.
    LEAVE = auto()
    #: Claim its document and run the rules.
    CLAIM = auto()
    #: Write a new document, claim that and run the rules.
    CLAIM_ANEW = auto()


class GrowthEvent(Enum):
    """Event in a period of growth."""

    ARRIVAL = auto()
    CLAIM = auto()
    #: The rules were run, or it was dropped, or left to another server.
    END = auto()
    FAILURE = auto()


#: Allowed transitions; any other event is a fault of ours.
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
    """Period in which a series grows, as this server sees it.

    Attributes
    ----------
    series : str
        Key of the series, as in the document.
    since, last : float
        Times of the event loop: of the beginning, and of the last arrival.
    state : GrowthState
        The current state.
    document : GrowingSeries or None
        The document that this server wrote.
    is_repeated : bool
        Whether the rules may have been run before, by a server that crashed or could not finish.
    """

    series: str
    since: float
    last: float
    state: GrowthState = GrowthState.EXPECTED
    document: GrowingSeries | None = None
    is_repeated: bool = False

    def on(self, event: GrowthEvent) -> None:
        """Change the state as an event requires."""
        self.state = TRANSITIONS[self.state, event]


def next_step(growth: Growth, found: GrowingSeries | None, server: str, *, wall: float, loop: float) -> Step:
    """Decide the next step for a series that was quiet for its time.

    Parameters
    ----------
    growth : Growth
        What this server knows of it.
    found : GrowingSeries or None
        Its document in the catalog.
    server : str
        Name of this server.
    wall, loop : float
        Current time: seconds since the epoch, and of the event loop.

    Returns
    -------
    Step
        What to do.
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
    """Tell whether the server that watches a series, or that should delete its document, has abandoned it.

    Parameters
    ----------
    found : GrowingSeries
        The document.
    seconds : float
        Quiet time after which a series is stable.
    wall : float
        Current time in seconds since the epoch.
    """
    return max(found.until, found.claim_until, found.dealt + seconds) + GRACE_SECONDS < wall
