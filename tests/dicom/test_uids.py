"""UIDs and the ids made of a header."""

import pytest

from neurdicom.dicom.uids import UID_SCHEMA, check_conformant_uid, check_uid, new_uid, patient_key
from neurdicom.errors import Invalid
from neurdicom.schema.texts import compiled


def test_new_uids_are_valid_and_differ() -> None:
    uids = {new_uid() for _ in range(100)}
    assert len(uids) == 100
    for uid in uids:
        assert check_uid(uid, "sop_instance_uid") == uid
        assert uid.startswith("2.25.")


@pytest.mark.parametrize(
    "uid",
    [
        "",
        " 1.2",
        "1.2 ",
        "1 2",
        "1.2\n",
        "1.2/3",
        "1\\2",
        "1~2",
        "1,2",
        "1*",
        "1?",
        ".",
        "..",
        "-",
        "１.2",
        "1é",
        "1." + "2" * 127,
    ],
)
def test_what_is_no_uid_is_invalid(uid: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_uid(uid, "study_instance_uid")
    assert caught.value.field == "study_instance_uid"


ODD = ["1.02.003", "1.2.", ".1", "1..2", "LOCALIZER2.16.124", "{1-2_3}", "urn:uuid:1", "1." + "2" * 126, "a", "$1"]


@pytest.mark.parametrize("uid", ODD)
def test_what_files_have_passes(uid: str) -> None:
    assert check_uid(uid, "sop_instance_uid") == uid
    assert compiled(UID_SCHEMA["pattern"]).search(uid)
    with pytest.raises(Invalid, match=r"PS3\.5 9\.1") as caught:
        check_conformant_uid(uid, "sop_instance_uid")
    assert caught.value.field == "sop_instance_uid"


@pytest.mark.parametrize("uid", ["0", "1.2.840.10008.1.1", "1.0.2", "2.25." + "3" * 59])
def test_what_the_standard_has_is_conformant(uid: str) -> None:
    assert check_conformant_uid(uid, "sop_instance_uid") == check_uid(uid, "sop_instance_uid") == uid


def test_patients_are_told_apart_by_id_and_issuer() -> None:
    keys = [
        patient_key("1", None, "1.2"),
        patient_key("1", "A", "1.2"),
        patient_key("1:A", None, "1.2"),
        patient_key(None, "A", "1.2"),
        patient_key(None, None, "1.3"),
    ]
    assert len(set(keys)) == len(keys)
    assert patient_key(" 1\0", "", "1.9") == keys[0]
    assert patient_key("", "A", "1.2") == patient_key(None, "B", "1.2")
    assert all(key.isalnum() and key.isascii() for key in keys)
