"""Unique identifiers (PS3.5 chapter 9) and the ids that the API derives from a header."""

import hashlib
import re
import uuid

from neurdicom.errors import Invalid
from neurdicom.schema.texts import whole_text

MAX_LENGTH = 64
_FORM = re.compile(r"[0-9]+(?:\.[0-9]+)*\Z")

#: JSON Schema of what `check_uid` takes.
UID_SCHEMA = whole_text(
    rf"(?=.{{1,{MAX_LENGTH}}}$)[0-9]+(\.[0-9]+)*",
    description=f"A UID: numbers separated by single dots, at most {MAX_LENGTH} characters, no wildcards.",
)


def check_uid(value: str, field: str) -> str:
    """Check that a UID can serve as an id.

    Components with leading zeros break PS3.5 9.1 but occur in real files and are unambiguous, so they pass.

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
        It is empty, longer than 64 characters, or not digits and single dots.
    """
    if not value:
        raise Invalid(f"{field} is missing or empty; an instance needs one", field=field)
    if len(value) > MAX_LENGTH:
        raise Invalid(f"{field} has {len(value)} characters; a UID has at most {MAX_LENGTH}", field=field)
    if not _FORM.match(value):
        raise Invalid(f"{field} is {value!r}; a UID is numbers separated by single dots", field=field)
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
