"""Sender of instances to one receiver by C-STORE: each is prepared by the server, sent, and counted."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.uid import UID
from pynetdicom.status import code_to_category

from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.uids import is_conformant
from neurdicom.dimse.ipc.contract import Remote
from neurdicom.dimse.ipc.link import Link
from neurdicom.dimse.scu.proposals import storage_contexts
from neurdicom.dimse.scu.requestor import Requestor
from neurdicom.dimse.ul.exchange import Disconnected, Exchange, Originator
from neurdicom.errors import NeurdicomError, PeerFailed, Unavailable

#: (key, SOP Class UID, Transfer Syntax UID) of an instance as it is stored.
Instance = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class SubOperation:
    """The outcome of a C-STORE sub-operation.

    Attributes
    ----------
    instance : str
        Key of the instance.
    status : int or None
        The receiver's status; None without a response.
    reason : str or None
        The reason of a failure or a warning.
    failed : bool
        True if the instance was not stored.
    retryable : bool
        True if trying again may help.
    size : int
        Bytes of the dataset that was sent.
    """

    instance: str
    status: int | None = None
    reason: str | None = None
    failed: bool = False
    retryable: bool = False
    size: int = 0


@dataclass(slots=True)
class SubOperationCounts:
    """Sub-operations by their outcome (PS3.7 9.1.4.1), and the SOP Instance UIDs of those that failed."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, sent: SubOperation) -> None:
        """Count the outcome of a sub-operation."""
        self.remaining -= 1
        if sent.failed:
            self.failed += 1
            self.failures.append(uid_of(sent.instance))
        elif sent.reason is not None:
            self.warning += 1
        else:
            self.completed += 1


class StorageSender:
    """Sender of instances.

    Parameters
    ----------
    link : Link
        The connection to the server.
    originator : Originator, optional
        The originator of the C-MOVE that the instances are sent for.
    """

    def __init__(self, link: Link, originator: Originator | None = None) -> None:
        self._link = link
        self._originator = originator
        self._number = 0

    def to_remote(
        self, requestor: Requestor, remote: Remote, instances: Sequence[Instance]
    ) -> Generator[SubOperation, None, None]:
        """Send instances on as few new associations as possible.

        Parameters
        ----------
        requestor : Requestor
            Opens the associations.
        remote : Remote
            The receiver.
        instances : sequence of Instance
            The instances.

        Yields
        ------
        SubOperation
            The outcome of each instance. Those that can't be sent because an association ends, or because a later
            association is not established, have failed.

        Raises
        ------
        PeerFailed
            The first association is not established.
        """
        left = list(instances)
        begun = False
        for contexts in storage_contexts((sop_class, syntax) for _, sop_class, syntax in instances):
            classes = {context.abstract_syntax for context in contexts}
            mine = [each for each in left if each[1] in classes]
            left = [each for each in left if each[1] not in classes]
            try:
                with requestor.associate(remote, contexts) as exchange:
                    begun = True
                    yield from self.on(exchange, mine)
            except PeerFailed as error:
                if not begun:
                    raise
                # A receiver that ends an association for a SOP class that is no UID by PS3.5 9.1 does so each time.
                may_pass = error.retryable and all(map(is_conformant, classes))
                yield from (SubOperation(each[0], None, str(error), True, may_pass) for each in mine)
        for instance, _, _ in left:
            yield SubOperation(instance, None, "its SOP class or transfer syntax is unknown", True)

    def on(self, exchange: Exchange, instances: Sequence[Instance]) -> Generator[SubOperation, None, None]:
        """Send instances on an established association; if it ends, the remaining ones have failed.

        Those whose UID breaks PS3.5 9.1 come last, since some receivers abort an association for them.
        """
        for instance, sop_class, _ in sorted(instances, key=lambda each: not is_conformant(uid_of(each[0]))):
            if not exchange.alive:
                yield SubOperation(instance, None, "the association had ended before", True, True)
                continue
            yield self._send(exchange, instance, sop_class)

    def _send(self, exchange: Exchange, instance: str, sop_class: str) -> SubOperation:
        accepted = exchange.accepted(sop_class)
        if not accepted:
            return SubOperation(instance, None, f"the receiver accepts no context for {UID(sop_class).name}", True)
        try:
            with self._prepared(instance, accepted) as file:
                context = exchange.context(sop_class, file["transfer_syntax"])
                size = sum(Path(path).stat().st_size - offset for path, offset in file["parts"])
                self._number = self._number % 0xFFFF + 1
                response = exchange.store(
                    file["parts"],
                    sop_class,
                    uid_of(instance),
                    context,
                    message_id=self._number,
                    originator=self._originator,
                )
        except Disconnected as error:
            return SubOperation(instance, None, str(error), True, True)
        except NeurdicomError as error:
            return SubOperation(instance, None, str(error), True, isinstance(error, Unavailable))
        except OSError as error:  # for example because it was deleted meanwhile
            return SubOperation(instance, None, f"its file can't be read: {error.strerror}", True)
        return outcome(instance, response, size)

    @contextmanager
    def _prepared(self, instance: str, accepted: Sequence[str]) -> Iterator[dict[str, Any]]:
        with ExitStack() as stack:
            file = self._link.call("prepare", instance=instance, accepted=accepted)
            if file["ticket"]:
                stack.callback(self._link.tell, "release", ticket=file["ticket"])
            yield file


def outcome(instance: str, response: Any, size: int = 0) -> SubOperation:
    """Read the outcome of a sub-operation from the response to a C-STORE request (PS3.4 B.2.3).

    Parameters
    ----------
    instance : str
        Key of the instance.
    response : C_STORE
        The response.
    size : int
        Bytes of the dataset that was sent.
    """
    status = int(response.Status)
    category = code_to_category(status)
    if category == "Success":
        return SubOperation(instance, status, size=size)
    comment = getattr(response, "ErrorComment", None)
    reason = f"the receiver answers {status:04X}" + (f" ({comment})" if comment else "")
    failed = category != "Warning"
    retryable = failed and status >> 8 == 0xA7
    return SubOperation(instance, status, reason, failed, retryable, 0 if failed else size)
