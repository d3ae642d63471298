"""The peer port: operations on remote DICOM nodes, whichever protocol they speak."""

import typing
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import PeerFailed

Protocol = Literal["DIMSE", "DICOMWEB"]
Method = Literal["C-MOVE", "C-GET", "WADO-RS"]


@dataclass(frozen=True, slots=True)
class Node:
    """Remote DICOM node.

    Attributes
    ----------
    name : str
        Its id here.
    protocol : {"DIMSE", "DICOMWEB"}
        With DIMSE, `ae_title`, `host`, `port` and `tls` apply; with DICOMWEB, `url` and the credentials.
    ae_title, host : str
        AE title, and host name or IP address.
    port : int
        TCP port.
    tls : bool
        Use DIMSE over TLS, with the server's own certificate and CA.
    url : str
        Base URL of its DICOMweb services.
    username, password, token : str
        Basic or bearer credentials for `url`; never shown.
    retrieve : str or None
        Method of retrieval from a DIMSE node that can't move instances to us: `C-GET`.
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
    """Progress of a transfer; `instance` and `reason` are those of the last sub-operation.

    Attributes
    ----------
    done, failed, warned : int
        Sub-operations so far; `warned` ones are stored, with changes by the receiver.
    total : int or None
        Sub-operations in all, as far as the peer reports them.
    instance : str or None
        Key of an instance that is sent, SOP Instance UID of one that is retrieved.
    reason : str or None
        Why that one failed, or what was changed; None for plain success.
    retryable : bool
        Whether trying that one again may help.
    series, study : str or None
        Series and study of that one, where they are known.
    answer : str or None
        Final answer of a node that failed to send some instances and named none of them.
    """

    done: int = 0
    failed: int = 0
    warned: int = 0
    total: int | None = None
    instance: str | None = None
    reason: str | None = None
    retryable: bool = False
    series: str | None = None
    study: str | None = None
    answer: str | None = None


class StoredFiles(typing.Protocol):
    """Port that returns files as nodes have them stored."""

    def stored_file(self, node: Node, ids: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Stream the file of an instance, byte for byte as the node has it stored.

        Parameters
        ----------
        node : Node
            The node.
        ids : Mapping[str, str]
            `StudyInstanceUID`, `SeriesInstanceUID`, `SOPInstanceUID`.

        Raises
        ------
        PeerFailed
            The node fails, does not have the instance, or its protocol has no files.
        """


class Peer(ABC):
    """Port that speaks one protocol with remote nodes. All verbs raise `PeerFailed` when the node as a whole fails."""

    @abstractmethod
    async def echo(self, node: Node) -> float:
        """Check that a node answers; return the seconds that it took, association or connection included."""

    @abstractmethod
    async def find(
        self, node: Node, level: Level, keys: Mapping[str, Any], *, limit: int | None = None, fuzzy: bool = False
    ) -> list[dict[str, Any]]:
        """Query a node.

        Parameters
        ----------
        node : Node
            The node.
        level : Level
            Query level.
        keys : Mapping[str, Any]
            Matching and return keys, a dataset in the DICOM JSON model (PS3.18 F).
        limit : int, optional
            Most matches to take; the rest is cancelled.
        fuzzy : bool
            Ask the node for fuzzy matching of person names.

        Returns
        -------
        list of dict
            The matches in the DICOM JSON model.

        Raises
        ------
        Invalid
            The protocol can't express the query.
        PeerFailed
            The node fails.
        """

    @abstractmethod
    def send(self, node: Node, instances: Sequence[str]) -> AsyncIterator[Progress]:
        """Send stored instances, edits applied, transcoded to what the node accepts; yield a `Progress` after each.

        Instances are given by their keys. Closing the iterator ends the transfer after the current instance.
        """

    @abstractmethod
    def retrieve(
        self, node: Node, level: Level, ids: Mapping[str, str], *, method: Method | None = None
    ) -> AsyncIterator[Progress]:
        """Retrieve an entity with everything below it and store it; yield `Progress` as the node reports it.

        Parameters
        ----------
        node : Node
            The node.
        level : Level
            Level of the entity.
        ids : Mapping[str, str]
            Keyword to value of the unique keys at `level` and above: `PatientID`, `StudyInstanceUID`,
            `SeriesInstanceUID`, `SOPInstanceUID`.
        method : str, optional
            `C-MOVE` to ourselves or `C-GET`; by default what the node can do.

        Raises
        ------
        PeerFailed
            The node fails.
        """

    def stored_file(self, node: Node, ids: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Stream the file of an instance, where the protocol has files; see `StoredFiles`. Raises `PeerFailed`."""
        raise PeerFailed(f"{node.name} is a {node.protocol} node, which returns no files as stored", retryable=False)
