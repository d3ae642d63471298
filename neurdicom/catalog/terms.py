"""Terms of documents, encoded in a form that every backend can index and compare.

A term is a name with a text or a number. It is encoded as one text that sorts in the order of the values, so that a
comparison is a range of texts: adapters need one index, and agree on the matches.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Scalar = str | float
Term = tuple[str, Scalar]
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_END = "\x1f"  # of a kind and of a name; no name with it is a term
_SIGN = 1 << 63

#: Most characters of a term's text and of its name; longer ones are not indexed.
LONGEST = 256


@dataclass(frozen=True, slots=True)
class TermCondition:
    """A condition on the terms of one name; several terms of a name are alternatives.

    Attributes
    ----------
    name : str
        Name of the terms.
    op : {"=", "!=", "<", "<=", ">", ">="}
        `=`: one of the terms is one of the values. `!=`: there are terms of that name, and none is one of the values.
        Otherwise one of the terms compares so with the value: numbers with numbers, texts with texts by code point.
    values : tuple
        The values; exactly one except for `=` and `!=`.
    """

    name: str
    op: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class TermRange:
    """The encoded terms that meet a condition.

    Attributes
    ----------
    exact : tuple of str
        Terms of which one must be present; if empty, the range from `low` to below `high` counts.
    without : tuple of str
        Terms of which none may be present.
    """

    low: str = ""
    high: str = ""
    exact: tuple[str, ...] = ()
    without: tuple[str, ...] = field(default=())


def is_term(name: str, value: Scalar) -> bool:
    """Tell whether a name and value can be a term: not too long, and the name without its end character."""
    return len(name) <= LONGEST and _END not in name and not (isinstance(value, str) and len(value) > LONGEST)


def encode(kind: str, term: Term) -> str:
    """Encode a term as a text; those of one kind and name sort in the order of the values, numbers before texts."""
    name, value = term
    return f"{_prefix(kind, name)}{_encode(value)}"


def encode_all(kind: str, terms: Sequence[Term]) -> list[str]:
    """Encode each of the terms once; those that `is_term` refuses are left out."""
    return sorted({encode(kind, term) for term in terms if is_term(*term)})


def term_range(kind: str, condition: TermCondition) -> TermRange:
    """Compute the encoded terms that meet a condition, as a range or a set."""
    prefix = _prefix(kind, condition.name)
    wanted = tuple(prefix + _encode(value) for value in condition.values)
    if condition.op == "=":
        return TermRange(exact=wanted)
    if condition.op == "!=":
        return TermRange(prefix, prefix + "z", without=wanted)
    [value], [point] = condition.values, wanted
    of_kind = prefix + ("t" if isinstance(value, str) else "n")
    beyond = prefix + ("u" if isinstance(value, str) else "o")
    after = point + "\0"  # the least text that is greater
    return {
        "<": TermRange(of_kind, point),
        "<=": TermRange(of_kind, after),
        ">": TermRange(after, beyond),
        ">=": TermRange(point, beyond),
    }[condition.op]


def _prefix(kind: str, name: str) -> str:
    return f"{kind}{_END}{name}{_END}"


def _encode(value: Scalar) -> str:
    if isinstance(value, str):
        return "t" + value
    # The bits of a double compare as its value does, once those of negative ones are inverted (IEEE 754 5.10).
    (bits,) = struct.unpack(">q", struct.pack(">d", float(value) + 0.0))
    return f"n{(~bits if bits < 0 else bits | _SIGN) & (2 * _SIGN - 1):016x}"
