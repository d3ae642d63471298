"""Presentation contexts that we propose (PS3.8 9.3.2.2), at most 128 in one association."""

from collections.abc import Iterable, Sequence

from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext, StoragePresentationContexts, build_context

from neurdicom.dicom.codec.transfer_syntaxes import EXPLICIT, IMPLICIT
from neurdicom.dicom.uids import is_conformant, is_uid

#: Most contexts of an association: their ids are the odd numbers of a byte.
MOST_CONTEXTS = 128

#: Transfer syntaxes that every storage SCP accepts, and that files are converted to.
_FALLBACK = (EXPLICIT, IMPLICIT)

#: Transfer syntaxes that are proposed for C-GET, the preferred first.
_RETRIEVED = (
    *_FALLBACK,
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.81",
)


def storage_contexts(kinds: Iterable[tuple[str, str]]) -> list[list[PresentationContext]]:
    """Plan the associations in which instances can be sent.

    Each stored transfer syntax is proposed in a context of its own, so that the receiver can accept it or not, and
    the uncompressed ones in another. All contexts of a SOP class are in one association. A SOP class that is no UID by
    PS3.5 9.1 is the last, in one of its own, since some receivers abort an association for it.

    Parameters
    ----------
    kinds : iterable of (str, str)
        SOP Class UID and Transfer Syntax UID of the instances to send.

    Returns
    -------
    list of list of PresentationContext
        One list for each association.
    """
    stored: dict[str, dict[str, None]] = {}
    for sop_class, syntax in kinds:
        if is_uid(sop_class) and UID(syntax).is_valid:  # else there is no context for it
            stored.setdefault(sop_class, {})[syntax] = None
    plan: list[list[PresentationContext]] = []
    for sop_class, syntaxes in sorted(stored.items(), key=lambda item: not is_conformant(item[0])):
        contexts = [build_context(sop_class, list(group)) for group in _groups(tuple(syntaxes))]
        if not plan or len(plan[-1]) + len(contexts) > MOST_CONTEXTS or not is_conformant(sop_class):
            plan.append([])
        plan[-1] += contexts
    return plan


def storage_proposals(most: int) -> list[PresentationContext]:
    """Make the contexts for C-GET, for up to `most` usual SOP classes, since those to come can't be known beforehand.

    There is one context for each, so that the sender chooses the transfer syntax; uncompressed ones are proposed first,
    since some senders accept a syntax that they can't convert to.
    """
    return [build_context(context.abstract_syntax, list(_RETRIEVED)) for context in StoragePresentationContexts[:most]]


def _groups(stored: Sequence[str]) -> list[Sequence[str]]:
    rest = tuple(syntax for syntax in _FALLBACK if syntax not in stored)
    return [*((syntax,) for syntax in stored), *((rest,) if rest else ())]
