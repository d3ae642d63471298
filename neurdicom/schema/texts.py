"""Schemas and their patterns, by regular expressions that ECMA 262, Python and Rust read alike; no validator."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

Schema = Mapping[str, Any]

#: Beside `anyOf` or `oneOf`: the member that says which branch a request chose.
CHOSEN_BY = "x-chosen-by"
#: Beside them: no branch is looked into; the error names this member, and the description says what is expected.
NAMED = "x-named"
#: Its values do not go into errors; a secret may be a part of them. So with `format: password`.
UNSHOWN = "x-unshown"

#: Spaces and control characters, which a request's parameters lose; regular expressions differ in what `\s` is.
BLANKS = r"\s\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

#: Spaces, tabs and line breaks, as `str.strip` knows them.
SPACES = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

#: JSON Schema of text that is more than these.
NOT_BLANK: Schema = {"type": "string", "pattern": f"[^{BLANKS}]"}

#: Control characters, and those that end a line.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"

_PART = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    r"""Compile a pattern of ECMA 262: `\d` is ASCII, and `$` is the end, not the line break before it."""
    return re.compile(_PART.sub(lambda part: r"\Z" if part[0] == "$" else part[0], pattern), re.ASCII)


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
