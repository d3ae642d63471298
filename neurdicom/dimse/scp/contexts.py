"""Negotiation of presentation contexts: the accepted SOP classes and transfer syntaxes (PS3.8 9.3.2.2)."""

from collections.abc import Collection, Iterable
from functools import cache

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from neurdicom.dicom.codec.transfer_syntaxes import CONVERSIONS
from neurdicom.dicom.uids import is_uid
from neurdicom.dimse.identifier import MODELS

#: Transfer syntaxes of the services without pixels.
PLAIN_SYNTAXES: tuple[UID, ...] = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)

#: Transfer syntaxes of identifiers.
QUERY_SYNTAXES: tuple[UID, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)

#: Services beside storage and verification, which known AEs may use.
SERVICES: tuple[UID, ...] = (
    *(UID(uid) for model in MODELS for uid in (model.find, model.move, model.get)),
    StorageCommitmentPushModel,
)

#: SOP classes of storage in name only: not of a patient's study, or not of instances.
_NOT_STORED = (
    "1.2.840.10008.1.20.",  # storage commitment
    "1.2.840.10008.1.3.10",  # media directories
    "1.2.840.10008.5.1.1.",  # print
    "1.2.840.10008.5.1.4.1.1.200.",  # protocols
    "1.2.840.10008.5.1.4.1.1.201.",  # inventories
    "1.2.840.10008.5.1.4.38.",
    "1.2.840.10008.5.1.4.39.",
    "1.2.840.10008.5.1.4.43.",
    "1.2.840.10008.5.1.4.44.",
    "1.2.840.10008.5.1.4.45.",
)

#: Transfer syntaxes that do not encode datasets in DIMSE: MIME, XML, Papyrus 3, real-time video.
_NOT_TAKEN = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.20", "1.2.840.10008.1.2.7.")


@cache
def storage_classes() -> frozenset[UID]:
    """List the SOP classes of storage: all of the standard, retired ones too."""
    named = {
        UID(uid)
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and not uid.startswith(_NOT_STORED)
    }
    return frozenset(named | {context.abstract_syntax for context in AllStoragePresentationContexts})


@cache
def transfer_syntaxes() -> frozenset[UID]:
    """List the transfer syntaxes in which instances are accepted."""
    return frozenset(
        UID(uid)
        for uid, (_, kind, *_) in UID_dictionary.items()
        if kind == "Transfer Syntax" and not uid.startswith(_NOT_TAKEN)
    )


def is_storage(uid: str, *, any_class: bool) -> bool:
    """Tell whether instances of a SOP class are stored; with `any_class` those of unknown SOP classes are too."""
    return uid in storage_classes() or (any_class and uid not in UID_dictionary and is_uid(uid))


def accept(
    proposed: Iterable[PresentationContext], *, known: bool, any_class: bool, receives: Collection[UID] = ()
) -> list[PresentationContext]:
    """Choose the presentation contexts to accept.

    Of the transfer syntaxes proposed in a context, the first that we accept is kept and the others are removed.
    Instances that are sent back by C-GET are all converted to that one, so for these the first that we can convert to
    is preferred.

    Parameters
    ----------
    proposed : iterable of PresentationContext
        The requestor's contexts; changed in place.
    known : bool
        True if the requestor may use more than C-ECHO.
    any_class : bool
        True to store private SOP classes too.
    receives : collection of UID
        SOP classes for which the requestor proposes the SCP role, to receive their instances by C-GET.

    Returns
    -------
    list of PresentationContext
        The contexts that the acceptor supports, for the negotiation.
    """
    accepted: dict[UID, PresentationContext] = {}
    for context in proposed:
        uid = context.abstract_syntax
        storage = known and is_storage(uid, any_class=any_class)
        if not (storage or uid == Verification or (known and uid in SERVICES)):
            continue
        taken = transfer_syntaxes() if storage else QUERY_SYNTAXES if uid in SERVICES else PLAIN_SYNTAXES
        fit = [syntax for syntax in context.transfer_syntax if syntax in taken]
        written = [syntax for syntax in fit if syntax in CONVERSIONS] if uid in receives else []
        winner = next(iter(written or fit), None)
        if winner is None:
            winner = ImplicitVRLittleEndian  # not proposed: the context is rejected for its transfer syntaxes
        else:
            context.transfer_syntax = [winner]
        supported = accepted.setdefault(uid, PresentationContext())
        supported.abstract_syntax = uid
        supported.add_transfer_syntax(winner)
        if storage:
            supported.scu_role = supported.scp_role = True  # C-GET reverses the roles (PS3.7 D.3.3.4)
    return list(accepted.values())
