"""Names of labels, which users give to patients, studies, series and instances, as they are written in requests."""

from typing import Final

from neurdicom.errors import Invalid, shown
from neurdicom.schema import Schema
from neurdicom.schema.texts import compiled, whole_text

#: Field of a query, and filter of a list, that selects entities by their labels.
LABELS: Final = "labels"

#: Label of the patients and studies that the quota does not delete.
PROTECTED: Final = "protected"

#: Most characters of a label.
LONGEST_LABEL: Final = 64

_WORD: Final = r"[A-Za-z0-9_\-]"
_ANY: Final = r"[A-Za-z0-9_.\-]"

#: A label as a regular expression. `.` and `..` are none, since they mean something else in a path.
LABEL_FORM: Final = (
    rf"({_WORD}{_ANY}{{0,{LONGEST_LABEL - 1}}}|\.{_WORD}{_ANY}{{0,{LONGEST_LABEL - 2}}}"
    rf"|\.\.{_ANY}{{1,{LONGEST_LABEL - 2}}})"
)

#: JSON Schema of a label.
LABEL_SCHEMA: Schema = whole_text(
    LABEL_FORM,
    description=f"Up to {LONGEST_LABEL} letters and digits of ASCII, `_`, `-` and `.`, but neither `.` nor "
    "`..`. Case matters.",
)


def is_label(text: str) -> bool:
    """Tell whether a text has the form of a label."""
    return compiled(LABEL_SCHEMA["pattern"]).search(text) is not None


def check_label(text: str) -> str:
    """Return a label unchanged. Raises `Invalid`, also for another spelling of a label that has a meaning here."""
    if not is_label(text):
        raise Invalid(
            f"{shown(text)} is not a label: 1 to {LONGEST_LABEL} letters and digits of ASCII, '_', '-' and '.' are "
            "expected, and neither '.' nor '..'",
            field="label",
        )
    if text != PROTECTED and text.lower() == PROTECTED:
        raise Invalid(
            f"{text!r} would protect nothing, since case matters; the quota spares what has the label {PROTECTED!r}",
            field="label",
        )
    return text
