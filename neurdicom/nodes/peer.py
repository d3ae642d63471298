"""The port to remote DICOM nodes: what can be asked of one, whichever protocol it speaks."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from neurdicom.dicom.query.attributes import Level

Protocol = Literal["DIMSE", "DICOMWEB"]
Method = Literal["C-MOVE", "C-GET", "WADO-RS"]


@dataclass(frozen=True, slots=True)
class Node:
    """A remote peer.

    Attributes
    ----------
    name : str
        Its id here.
    protocol : str
        `DIMSE` (then `ae_title`, `host`, `port` and `tls` count) or `DICOMWEB` (then `url` and the credentials do).
    tls : bool
        Talk DIMSE over TLS, with the server's own certificate and CA.
    url : str
        Base of its DICOMweb services.
    username, password, token : str
        Basic or bearer credentials for `url`; never given back.
    retrieve : str or None
        How a DIMSE node is asked for instances, where it can't be told to move them to us: `C-GET`.
    """

    name: str
    protocol: Protocol
    ae_title: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False
    url: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    retrieve: Method | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a transfer; `instance` and `reason` are of the sub-operation that was just done.

    Attributes
    ----------
    done, failed, warned : int
        Sub-operations so far; `warned` ones are stored, with changes by the receiver.
    total : int or None
        As far as the peer tells.
    instance : str or None
        SOP Instance UID.
    reason : str or None
        Why that one failed, or what was changed; None for plain success.
    retryable : bool
        Trying that one again may help.
    """

    done: int = 0
    failed: int = 0
    warned: int = 0
    total: int | None = None
    instance: str | None = None
    reason: str | None = None
    retryable: bool = False


class Peer(ABC):
    """Speaks one protocol with remote nodes. All verbs raise `PeerFailed` when the node as a whole fails."""

    @abstractmethod
    async def echo(self, node: Node) -> float:
        """See if it answers; the seconds that it took, association or connection included."""

    @abstractmethod
    async def find(
        self, node: Node, level: Level, keys: Mapping[str, Any], *, limit: int | None = None, fuzzy: bool = False
    ) -> list[dict[str, Any]]:
        """Query it. Raises `Invalid` for what the protocol can't ask.

        Parameters
        ----------
        level : Level
            At which level.
        keys : Mapping[str, Any]
            Matching and return keys, a dataset in the DICOM JSON model (PS3.18 F).
        limit : int, optional
            The most matches to take; the rest is cancelled.
        fuzzy : bool
            Names match as the node thinks that they sound or begin alike.

        Returns
        -------
        list of dict
            The matches in the DICOM JSON model.
        """

    @abstractmethod
    def send(self, node: Node, instances: Sequence[str]) -> AsyncIterator[Progress]:
        """Send stored instances, edits applied, transcoded to what it accepts; one `Progress` after each instance.

        Closing the iterator ends the transfer after the instance under way.
        """

    @abstractmethod
    def retrieve(
        self, node: Node, level: Level, ids: Mapping[str, str], *, method: Method | None = None
    ) -> AsyncIterator[Progress]:
        """Fetch an entity with everything below and store it; `Progress` as the node reports it.

        Parameters
        ----------
        ids : Mapping[str, str]
            Keyword to value of the unique keys at `level` and above: `PatientID`, `StudyInstanceUID`,
            `SeriesInstanceUID`, `SOPInstanceUID`.
        method : str, optional
            `C-MOVE` to ourselves or `C-GET`; by default what the node can do.
        """
