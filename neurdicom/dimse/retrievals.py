"""Retrievals from DIMSE nodes: which sub-operation belongs to which, and what is refused of it."""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from neurdicom.nodes.peer import Node
from neurdicom.nodes.requested import NotRequested, RequestedEntity

log = logging.getLogger(__name__)

#: Retrievals that are remembered after their end, since a node may still send what it has begun to.
_REMEMBERED: Final = 1000

_LARGEST_ID: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class RefusedInstance:
    """Instance of a retrieval that was refused: its SOP Instance UID, and the reason."""

    instance: str
    reason: str


class Retrieval:
    """Retrieval of an entity from a node.

    Attributes
    ----------
    number : int
        Message ID of the C-MOVE or C-GET request, which sub-operations name.
    ae_title : str
        AE title of the node.
    refused : list of RefusedInstance
        The instances that were refused, in the order of arrival.
    stored : set of str
        SOP Instance UIDs of those that were stored.
    """

    def __init__(self, number: int, node: Node, ids: Mapping[str, str]) -> None:
        self.number = number
        self.ae_title = node.ae_title
        self.refused: list[RefusedInstance] = []
        self.stored: set[str] = set()
        self._node = node.name
        self._entity = RequestedEntity(ids)

    def check(self, attributes: Mapping[str, Any]) -> None:
        """Refuse an instance that was not asked for. Raises `NotRequested`."""
        try:
            self._entity.check(attributes)
        except NotRequested as error:
            log.warning("%s sent what was not requested, which is refused: %s", self._node, error)
            self.note_refusal(error.instance, str(error))
            raise

    def note_refusal(self, instance: str, reason: str) -> None:
        """Note that an instance was refused, and why."""
        self.refused.append(RefusedInstance(instance, reason))


class RetrievalRegistry:
    """The retrievals under way, by Message ID, and the latest that have ended.

    Parameters
    ----------
    ae_title : str
        AE title of this server.
    """

    def __init__(self, ae_title: str) -> None:
        self._ae_title = ae_title
        self._running: dict[int, Retrieval] = {}
        self._ended: OrderedDict[int, Retrieval] = OrderedDict()
        # Other requestors may have our AE title; most begin at 1.
        self._last = secrets.randbelow(_LARGEST_ID)

    @contextmanager
    def begin(self, node: Node, ids: Mapping[str, str]) -> Iterator[Retrieval]:
        """Register a retrieval for as long as the context lasts, and for a while after it.

        Parameters
        ----------
        node : Node
            The node.
        ids : Mapping[str, str]
            Keyword to value of the unique keys of the entity.

        Yields
        ------
        Retrieval
            With a Message ID that no other retrieval under way has.
        """
        number = self._last % _LARGEST_ID + 1
        while number in self._running:
            number = number % _LARGEST_ID + 1
        self._last = number
        self._ended.pop(number, None)
        retrieval = self._running[number] = Retrieval(number, node, ids)
        try:
            yield retrieval
        finally:
            del self._running[number]
            self._ended[number] = retrieval
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

    def of_move(self, originator: str | None, number: int | None, calling: str) -> Retrieval | None:
        """Find the retrieval by C-MOVE that a C-STORE request names; None for other requests.

        Parameters
        ----------
        originator : str or None
            Move Originator AE title; some nodes give their own in place of ours.
        number : int or None
            Move Originator Message ID.
        calling : str
            AE title of the sender. From another one than the node, the node's title names a C-MOVE request of its own.
        """
        found = self.find(number)
        if found is None:
            return None
        title = (originator or "").strip()
        return found if title == self._ae_title or title == found.ae_title == calling.strip() else None

    def find(self, number: int | None) -> Retrieval | None:
        """Return the retrieval whose request has a Message ID; None if there is none."""
        if number is None:
            return None
        return self._running.get(number) or self._ended.get(number)
