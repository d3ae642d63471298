"""Folding of names into search keys."""

import pytest

from neurdicom.dicom.query.attributes import Kind, Level
from neurdicom.dicom.query.conditions import matches, text_condition
from neurdicom.dicom.query.folding import name_key, word_key
from neurdicom.dicom.query.keys import condition_on, read_keys

NAMES = [
    "Doe^Jane",
    "Doe^Jane^",
    "Doe^Jane^^^",
    "doe^JANE",
    " Doe ^ Jane ",
    "Doe^Jane^ ^ ",
    "Doe^Jane=",
    "Doe^Jane^^==",
]


@pytest.mark.parametrize("stored", [*NAMES, "=Doe^Jane", "Yamada^Tarou=山田^太郎=Doe^Jane^^"])
@pytest.mark.parametrize(
    "wanted", [*NAMES, "Doe^Jane*", "Doe^*", "*^Jane", "Doe^*^*^*", "D?e^Jane^*", "d*^^", "Doe*^*"]
)
def test_trailing_components_and_blanks_do_not_count(stored: str, wanted: str) -> None:
    for condition in read_keys(Level.STUDY, {"00100010": {"vr": "PN", "Value": [wanted]}}).conditions:
        assert matches(condition, {"patient_name": stored})


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        ("Doe^Jane^Q", "Doe^^*"),
        ("Doe", "^^*"),
        ("^^^", "Doe^*"),
        ("Doe", "Doe^Jane"),
        ("Doe^Jane", "Doe"),
        ("Doe^^Jane", "Doe^Jane"),
        ("Doe^Jane^Q", "Doe^Jane"),
        ("Roe", "Doe^*"),
    ],
)
def test_other_components_count(stored: str, wanted: str) -> None:
    assert not matches(text_condition("patient_name", wanted), {"patient_name": stored})


@pytest.mark.parametrize(
    ("letters", "plain"),
    [
        ("øØ", "oo"), ("łŁ", "ll"), ("ß", "ss"), ("æÆ", "aeae"), ("œ", "oe"), ("đĐ", "dd"), ("ðÐ", "dd"), ("þ", "th"),
        ("ıİ", "ii"), ("ħ", "h"), ("ŧ", "t"), ("ŋ", "n"), ("ĸ", "k"), ("éÜñçšž", "eunncsz".replace("nn", "n")),
        ("ɨƙ", "ik"), ("ﬁ", "fi"), ("Ё", "е"), ("ғқҳ", "гкх"), ("ΆΈς", "αεσ"), ("が", "か"), ("각", "각"), ("أ", "ا"),
    ],
)  # fmt: skip
def test_letters_without_their_marks(letters: str, plain: str) -> None:
    assert word_key(letters) == plain
    assert word_key(plain) == word_key(word_key(letters))


def test_an_empty_name_is_one_without_components() -> None:
    assert name_key(" ^^ ") == name_key("^") == "^"
    assert matches(text_condition("patient_name", "^^*"), {"patient_name": "^^^^"})
    assert matches(text_condition("patient_name", "*"), {"patient_name": "^^^^"})


def test_folding_again_changes_nothing() -> None:
    for name in NAMES:
        assert name_key(name_key(name)) == name_key(name)


@pytest.mark.parametrize("low", ["120000", "1200", "12", "120000.0", "115959"])
@pytest.mark.parametrize("stored", ["1200", "12", "120000", "120000.000000"])
def test_a_stored_time_of_less_precision_lies_in_a_range(low: str, stored: str) -> None:
    condition = condition_on("study_time", Kind.TIME, "00080030", [f"{low}-120100"], {})
    assert condition is not None
    assert matches(condition, {"study_time": stored})
