"""Unique identifiers (PS3.5 chapter 9) and the ids that the API derives from a header."""

import hashlib
import re
import uuid

from neurdicom.errors import Invalid
from neurdicom.schema.texts import whole_text

#: Most characters of a UID that is kept as it is; one that follows PS3.5 9.1 has at most 64.
LONGEST_UID = 128
_LONGEST_CONFORMANT = 64

#: Characters of UIDs that name entities here: printable ASCII, but none that separates ids in keys, paths and lists,
#: and no wildcard.
_CHARACTER = r"[!-)+\-.0->@-\[\]-}]"
_PUNCTUATION = r"[!-)+\-.:->@\[\]-`{-}]"
#: A regular expression of such UIDs, which have a letter or digit.
UID_FORM = rf"(?={_CHARACTER}{{1,{LONGEST_UID}}}(?!{_CHARACTER}))(?={_PUNCTUATION}*[0-9A-Za-z]){_CHARACTER}+"
_ID = re.compile(rf"{UID_FORM}\Z", re.ASCII)
_CONFORMANT = re.compile(rf"(?=.{{1,{_LONGEST_CONFORMANT}}}\Z)(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*\Z", re.ASCII)

#: JSON Schema of what `check_uid` takes.
UID_SCHEMA = whole_text(
    UID_FORM,
    description=f"A UID, at most {LONGEST_UID} characters. It need not have the form of PS3.5 9.1, but has no white "
    "space, and none of `~`, `/`, `\\`, `,`, `*` and `?`.",
)

#: JSON Schema of the UID of a transfer syntax.
SYNTAX_SCHEMA = whole_text(
    rf"(?=.{{1,{_LONGEST_CONFORMANT}}}$)[0-9]+(\.[0-9]+)*",
    description=f"A UID: numbers separated by single dots, at most {_LONGEST_CONFORMANT} characters.",
)


def is_uid(value: str) -> bool:
    """Tell whether a UID can serve as an id."""
    return _ID.match(value) is not None


def is_conformant(value: str) -> bool:
    """Tell whether a UID has the form of PS3.5 9.1."""
    return _CONFORMANT.match(value) is not None


def check_uid(value: str, field: str) -> str:
    """Check that a UID can serve as an id.

    UIDs with letters, with leading zeros, with a dot at the end or of more than 64 characters break PS3.5 9.1 but occur
    in real files and are unambiguous, so they pass.

    Parameters
    ----------
    value : str
        The UID without padding.
    field : str
        The attribute's field name, for the error.

    Returns
    -------
    str
        `value`.

    Raises
    ------
    Invalid
        It is empty, longer than 128 characters, or has characters that no id may have.
    """
    if not value:
        raise Invalid(f"{field} is missing or empty; an instance needs one", field=field)
    if len(value) > LONGEST_UID:
        raise Invalid(f"{field} has {len(value)} characters; at most {LONGEST_UID} are kept", field=field)
    if not is_uid(value):
        raise Invalid(f"{field} is {value!r}; a UID without spaces and any of ~/\\,*? is expected", field=field)
    return value


def check_conformant_uid(value: str, field: str) -> str:
    """Check that a UID has the form of PS3.5 9.1, as `check_uid`."""
    if not is_conformant(value):
        raise Invalid(
            f"{field} is {value[:LONGEST_UID]!r}; numbers without leading zeros, separated by single dots, of at most "
            f"{_LONGEST_CONFORMANT} characters together are expected (PS3.5 9.1)",
            field=field,
        )
    return value


def patient_key(patient_id: str | None, issuer: str | None, study_uid: str) -> str:
    """Compute a patient's id, 32 URL-safe characters, from PatientID and its issuer.

    The same PatientID from two issuers makes two patients. An instance without a PatientID belongs to a patient of
    its study alone, so that unidentified persons are never merged.

    Parameters
    ----------
    patient_id, issuer : str or None
        PatientID (0010,0020) and IssuerOfPatientID (0010,0021); padding does not count.
    study_uid : str
        StudyInstanceUID (0020,000D).
    """
    patient_id = (patient_id or "").strip(" \0")
    issuer = (issuer or "").strip(" \0")
    # A length before each part: no two different pairs may give the same text.
    text = f"id:{len(patient_id)}:{patient_id}:{issuer}" if patient_id else f"study:{study_uid}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def new_uid() -> str:
    """Make a UID from a random UUID under the root 2.25 (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"
