"""Presentation contexts that we propose for sending (PS3.8 9.3.2.2): at most 128 in one association."""

from collections.abc import Iterable, Sequence

from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext, StoragePresentationContexts, build_context

from neurdicom.dicom.codec.transfer_syntaxes import EXPLICIT, IMPLICIT

#: Context ids are the odd numbers of a byte.
MOST_CONTEXTS = 128

#: What every storage SCP has to take, and what files are converted to.
_FALLBACK = (EXPLICIT, IMPLICIT)

#: What instances are asked for in by C-GET, the most wanted first.
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

    Each stored transfer syntax is proposed in a context of its own, so that the receiver can take it or leave it, and
    the uncompressed ones beside it. All contexts of a SOP class are in one association.

    Parameters
    ----------
    kinds : iterable of (SOP class, transfer syntax)
        What is to be sent.

    Returns
    -------
    list of list of PresentationContext
        One list for each association.
    """
    stored: dict[str, dict[str, None]] = {}
    for sop_class, syntax in kinds:
        if UID(sop_class).is_valid and UID(syntax).is_valid:  # else there is no context for it
            stored.setdefault(sop_class, {})[syntax] = None
    plan: list[list[PresentationContext]] = []
    for sop_class, syntaxes in stored.items():
        contexts = [build_context(sop_class, list(group)) for group in _groups(tuple(syntaxes))]
        if not plan or len(plan[-1]) + len(contexts) > MOST_CONTEXTS:
            plan.append([])
        plan[-1] += contexts
    return plan


def storage_proposals(most: int) -> list[PresentationContext]:
    """Contexts for what may come by C-GET, which can't be known beforehand: the usual SOP classes, up to `most`.

    There is one context for each, so that the sender chooses the transfer syntax; it is asked for uncompressed files
    first, since it may be one that can't convert to what it chose.
    """
    return [build_context(context.abstract_syntax, list(_RETRIEVED)) for context in StoragePresentationContexts[:most]]


def _groups(stored: Sequence[str]) -> list[Sequence[str]]:
    rest = tuple(syntax for syntax in _FALLBACK if syntax not in stored)
    return [*((syntax,) for syntax in stored), *((rest,) if rest else ())]
