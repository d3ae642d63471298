"""Terms of documents: what they are found by, in a form that every backend can index and compare.

A term is a name with a text or a number. It is written as one text whose order is that of its values, so that a
comparison is a range of texts: adapters need one index, and agree on what matches.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Scalar = str | float
Term = tuple[str, Scalar]
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_END = "\x1f"  # of a kind and of a name; no name with it is a term
_SIGN = 1 << 63

#: Characters of a term's text, and of its name; what is longer can't be found.
LONGEST = 256


@dataclass(frozen=True, slots=True)
class Termed:
    """A document with its terms."""

    key: str
    document: Mapping[str, Any]
    terms: Sequence[Term]


@dataclass(frozen=True, slots=True)
class Having:
    """What the terms of one name are to be; several terms of a name are alternatives.

    Attributes
    ----------
    name : str
    op : str
        `=`: one of the terms is one of the values. `!=`: there are terms of that name, and none is one of the values.
        Otherwise one of the terms compares so with the value: numbers with numbers, texts with texts by code point.
    values : tuple
        Several only with `=` and `!=`.
    """

    name: str
    op: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Where the terms that meet a condition lie.

    Attributes
    ----------
    exact : tuple of str
        Any of these; if there are none, all from `low` to below `high`.
    without : tuple of str
        A document that has one of these does not meet it.
    """

    low: str = ""
    high: str = ""
    exact: tuple[str, ...] = ()
    without: tuple[str, ...] = field(default=())


def is_term(name: str, value: Scalar) -> bool:
    """Whether it can be a term: not too long, and without the character that ends a name."""
    return len(name) <= LONGEST and _END not in name and not (isinstance(value, str) and len(value) > LONGEST)


def encode(kind: str, term: Term) -> str:
    """Write a term as a text; texts of one kind and name have the order of the values, numbers before texts."""
    name, value = term
    return f"{_prefix(kind, name)}{_encode(value)}"


def encode_all(kind: str, terms: Sequence[Term]) -> list[str]:
    """Write each of the terms once; those that can't be one are left out."""
    return sorted({encode(kind, term) for term in terms if is_term(*term)})


def span(kind: str, having: Having) -> Span:
    """Where the terms that meet a condition lie."""
    prefix = _prefix(kind, having.name)
    wanted = tuple(prefix + _encode(value) for value in having.values)
    if having.op == "=":
        return Span(exact=wanted)
    if having.op == "!=":
        return Span(prefix, prefix + "z", without=wanted)
    [value], [point] = having.values, wanted
    of_kind = prefix + ("t" if isinstance(value, str) else "n")
    beyond = prefix + ("u" if isinstance(value, str) else "o")
    after = point + "\0"  # the least text that is greater
    return {
        "<": Span(of_kind, point),
        "<=": Span(of_kind, after),
        ">": Span(after, beyond),
        ">=": Span(point, beyond),
    }[having.op]


def _prefix(kind: str, name: str) -> str:
    return f"{kind}{_END}{name}{_END}"


def _encode(value: Scalar) -> str:
    if isinstance(value, str):
        return "t" + value
    # The bits of a double compare as its value does, once negative ones are turned over (IEEE 754 5.10).
    (bits,) = struct.unpack(">q", struct.pack(">d", float(value) + 0.0))
    return f"n{(~bits if bits < 0 else bits | _SIGN) & (2 * _SIGN - 1):016x}"
