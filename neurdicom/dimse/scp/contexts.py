"""What is accepted in an association: SOP classes and transfer syntaxes (PS3.8 9.3.2.2)."""

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

#: SOP classes that are named storage and are of no patient's study, or are no instances.
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

#: Transfer syntaxes that are no encoding of a dataset in DIMSE: MIME, XML, Papyrus 3, real-time video.
_NOT_TAKEN = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.20", "1.2.840.10008.1.2.7.")


@cache
def storage_classes() -> frozenset[UID]:
    """The SOP classes that are stored: all of the standard, the retired ones too."""
    named = {
        UID(uid)
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and not uid.startswith(_NOT_STORED)
    }
    return frozenset(named | {context.abstract_syntax for context in AllStoragePresentationContexts})


@cache
def transfer_syntaxes() -> frozenset[UID]:
    """The transfer syntaxes that instances are taken in."""
    return frozenset(
        UID(uid)
        for uid, (_, kind, *_) in UID_dictionary.items()
        if kind == "Transfer Syntax" and not uid.startswith(_NOT_TAKEN)
    )


def is_storage(uid: str, *, any_class: bool) -> bool:
    """Tell whether instances of a SOP class are stored; with `any_class`, whatever is not known as something else."""
    return uid in storage_classes() or (any_class and uid not in UID_dictionary)


def accept(
    proposed: Iterable[PresentationContext], *, known: bool, any_class: bool, receives: Collection[UID] = ()
) -> list[PresentationContext]:
    """Choose what is accepted of the proposed contexts.

    Of the transfer syntaxes proposed in a context, the first that we take wins: the others are struck from it.
    What is to be sent back by C-GET is all converted to that one, so the first that we can convert to goes before.

    Parameters
    ----------
    proposed : iterable of PresentationContext
        The requestor's; changed in place.
    known : bool
        The requestor may use more than C-ECHO.
    any_class : bool
        Store private SOP classes too.
    receives : collection of UID
        The SOP classes that the requestor wants to be sent: it proposes the SCP role for them.

    Returns
    -------
    list of PresentationContext
        What the acceptor supports, for the negotiation.
    """
    accepted: dict[UID, PresentationContext] = {}
    for context in proposed:
        uid = context.abstract_syntax
        if not context.transfer_syntax:  # there has to be one; DICOM's default is meant, if anything
            context.transfer_syntax = [ImplicitVRLittleEndian]
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
            supported.scu_role = supported.scp_role = True  # C-GET turns the roles round (PS3.7 D.3.3.4)
    return list(accepted.values())
