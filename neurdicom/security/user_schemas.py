"""Declarations of requests about users: signing in, new accounts and changes of accounts."""

from typing import Any

from neurdicom.schema import Declaration, Schema
from neurdicom.schema.texts import BLANKS, SPACES, line_text

MIN_PASSWORD = 8
MAX_PASSWORD = 1024  # bounds the work that an unauthenticated caller can ask for
_MAX_ADDRESS = 254  # RFC 5321 4.5.3.1.3

#: Characters that normalization (NFKC) of an address turns into a space or an at sign.
_UNFOLDED = (
    r"\xa8\xaf\xb4\xb8\u02d8-\u02dd\u037a\u0384\u0385\u1fbd\u1fbf-\u1fc1\u1fcd-\u1fcf\u1fdd-\u1fdf\u1fed\u1fee\u1ffd"
    r"\u1ffe\u2017\u203e\u309b\u309c\ufc5e-\ufc63\ufdfa\ufdfb\ufe49-\ufe4c\ufe6b\ufe70\ufe72\ufe74\ufe76\ufe78\ufe7a"
    r"\ufe7c\ufe7e\uff20\uffe3"
)
#: Format characters, which are invisible: two addresses would look the same.
_INVISIBLE = (
    r"\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb"
)
_OF_ADDRESS = f"[^@{BLANKS}{_UNFOLDED}{_INVISIBLE}]"

_EMAIL: Schema = {
    "type": "string",
    "maxLength": _MAX_ADDRESS,
    "pattern": f"^[{SPACES}]*{_OF_ADDRESS}+@{_OF_ADDRESS}+[{SPACES}]*$",
    "description": f"An e-mail address such as name@example.org, of at most {_MAX_ADDRESS} characters.",
    "examples": ["name@example.org"],
}
_PASSWORD: Schema = {
    "type": "string",
    "minLength": MIN_PASSWORD,
    "maxLength": MAX_PASSWORD,
    "format": "password",
    # Only the length is required (NIST SP 800-63B 5.1.1.2), no mixture of characters.
    "description": f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.",
}
_MEMBERS: dict[str, Any] = {
    "email": _EMAIL,
    "password": _PASSWORD,
    "name": line_text(200),
    "surname": line_text(200),
    "is_admin": {"type": "boolean"},
}

EMAIL = Declaration(_EMAIL)

SIGN_IN = Declaration(
    {
        "type": "object",
        "required": ["email", "password"],
        "additionalProperties": False,
        "properties": {"email": {"type": "string"}, "password": {"type": "string", "format": "password"}},
    }
)

NEW_USER = Declaration(
    {"type": "object", "required": ["email", "password"], "additionalProperties": False, "properties": _MEMBERS}
)

USER_CHANGES = Declaration(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **_MEMBERS,
            "current_password": {
                "format": "password",
                "description": "Text, required of users who are not administrators to change their own password; "
                "ignored otherwise.",
            },
        },
    }
)
