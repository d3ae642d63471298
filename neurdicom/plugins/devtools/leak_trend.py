"""Growth of a process with every call: pure functions of the resources that it held after each round of calls."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, Final

from neurdicom.plugins.devtools.report import Check, Finding, problem

#: Measured resources: field of `Holdings`, least growth for a call, least growth for a round, and text.
_LOOKED_AT: Final = (
    ("heap", 4.0, 256.0, "{:.0f} bytes of memory"),
    ("blocks", 0.9, 3.0, "{:.1f} Python objects"),
    ("descriptors", 0.5, 1.0, "{:.1f} open files"),
    ("threads", 0.5, 1.0, "{:.1f} threads"),
    ("resident", 4096.0, 16384.0, "{:.0f} bytes of memory"),
)


def growth(rounds: Sequence[Mapping[str, Any]], calls: int) -> dict[str, float]:
    """Compute the growth of each resource for a call: the median over the rounds after the first, the warm-up.

    Growth counts when all rounds but one show it: a cache fills once, a leak never ends.
    """
    grown: dict[str, float] = {}
    for name, for_call, for_round, _ in _LOOKED_AT:
        values = [each[name] for each in rounds[1:] if each.get(name) is not None]
        steps = [after - before for before, after in pairwise(values)]
        if len(steps) < 2:
            continue
        typical = median(steps)
        grows = sum(step > 0 for step in steps) >= len(steps) - 1 and typical >= max(for_call * calls, for_round)
        grown[name] = typical / calls if grows else 0.0
    return grown


def leaks(grown: Mapping[str, float], unfreed: int, sample: str) -> list[Finding]:
    """Report the resources that grow with every call.

    Parameters
    ----------
    grown : Mapping[str, float]
        Growth for a call, from `growth`.
    unfreed : int
        Number of results in the plugin's own memory, none of which was freed; 0 otherwise.
    sample : str
        Name of the sample.

    Returns
    -------
    list of Finding
        Empty where nothing grows.
    """
    found = []
    lost = [words.format(grown[name]) for name, _, _, words in _LOOKED_AT if grown.get(name)]
    if grown.get("heap") and grown.get("resident"):
        lost = [each for index, each in enumerate(lost) if index != len(lost) - 1]  # the same bytes, counted twice
    if lost:
        message = f"every call leaves {' and '.join(lost)} behind"
        if unfreed and grown.get("heap"):
            message += f"; none of {unfreed} results was freed: export FreeResult, or give the same memory each time"
        found.append(problem(Check.LEAK, message, sample))
    return found
