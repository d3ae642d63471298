"""UIDs and the ids made of a header."""

import pytest

from neurdicom.dicom.uids import check_uid, new_uid, patient_key
from neurdicom.errors import Invalid


def test_new_uids_are_valid_and_differ() -> None:
    uids = {new_uid() for _ in range(100)}
    assert len(uids) == 100
    for uid in uids:
        assert check_uid(uid, "sop_instance_uid") == uid
        assert uid.startswith("2.25.")


@pytest.mark.parametrize("uid", ["", " 1.2", "1.2.", ".1", "1..2", "1.2\n", "1.2/3", "..", "１.2", "1." + "2" * 63])
def test_what_is_no_uid_is_invalid(uid: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_uid(uid, "study_instance_uid")
    assert caught.value.field == "study_instance_uid"


def test_leading_zeros_pass() -> None:
    assert check_uid("1.02.003", "sop_instance_uid") == "1.02.003"


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
