"""Schemas of text, by regular expressions that ECMA 262, Python and Rust read alike."""

from collections.abc import Iterable
from typing import Any

from neurdicom.schema.validator import Schema, compiled

#: Spaces and control characters, which a request's parameters lose; regular expressions differ in what `\s` is.
BLANKS = r"\s\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

#: JSON Schema of text that is more than these.
NOT_BLANK: Schema = {"type": "string", "pattern": f"[^{BLANKS}]"}

#: Control characters, and those that end a line.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"


def is_blank(text: str) -> bool:
    """Tell whether a text is spaces and control characters alone."""
    return compiled(NOT_BLANK["pattern"]).search(text) is None


def whole_text(form: str, **others: Any) -> dict[str, Any]:
    """Make the schema of text that a regular expression matches as a whole."""
    return {"type": "string", "pattern": f"^({form})$", **others}


def line_text(longest: int) -> dict[str, Any]:
    """Make the schema of one line of text of at most `longest` characters."""
    return {
        "type": "string",
        "maxLength": longest,
        "pattern": f"^[^{CONTROLS}]*$",
        "description": f"Text of at most {longest} characters, without line breaks and control characters.",
    }


def word_text(words: Iterable[str], *, shown: Iterable[str] | None = None) -> dict[str, Any]:
    """Make the schema of one of some words, in upper or lower case.

    Parameters
    ----------
    words : Iterable[str]
        Of ASCII letters and digits.
    shown : Iterable[str], optional
        Those that the description names; all of them when absent.
    """
    words = [*words]
    named = words if shown is None else [*shown]
    form = "|".join(
        "".join(f"[{each.upper()}{each.lower()}]" if each.isalpha() else each for each in word) for word in words
    )
    listed = " or ".join(filter(None, (", ".join(named[:-1]), named[-1])))
    return whole_text(form, examples=named[:1], description=f"{listed}, in upper or lower case.")
