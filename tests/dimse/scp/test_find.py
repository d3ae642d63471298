"""C-FIND as SCP, by pynetdicom and findscu."""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from tests.support.dimse.remotes import (
    PATIENT_FIND,
    STUDY_FIND,
    STUDY_MOVE,
    associated,
    find,
    identifier,
    run_tool,
    series,
    upload,
)
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server

RELATIONAL_COMBINED_FUZZY = b"\x01\x01\x01"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a few studies."""
    with Server.with_dimse(tmp_path_factory.mktemp("find"), "--dimse-accept", "any") as running:
        upload(running, *series(3, study=1, StudyDate="20240105", StudyTime="101500", AccessionNumber="A1"))
        upload(running, *series(2, study=1, series=2, StudyDate="20240105", Modality="CT"))
        upload(running, *series(1, study=2, patient="P2", PatientName="Roe^Jane", StudyDate="20240210"))
        upload(running, *series(1, study=3, patient="P3", PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100"))
        yield running


def test_studies_by_wildcard_date_and_list(server: Server) -> None:
    """Matching keys of a study; counts, availability and AE title come with each match."""
    matches, status, _ = find(
        server, "STUDY", PatientName="DOE*", StudyDate="20240101-20240131", StudyInstanceUID="", ModalitiesInStudy="",
        NumberOfStudyRelatedInstances="", NumberOfStudyRelatedSeries="", AccessionNumber="",
    )  # fmt: skip
    assert status.Status == 0x0000
    (match,) = matches
    assert match.StudyInstanceUID == f"{ROOT}.1"
    assert (match.NumberOfStudyRelatedSeries, match.NumberOfStudyRelatedInstances) == (2, 5)
    assert sorted(match.ModalitiesInStudy) == ["CT", "OT"]
    assert match.AccessionNumber == "A1"
    assert (match.QueryRetrieveLevel, match.RetrieveAETitle) == ("STUDY", "NEURDICOM")
    assert match.InstanceAvailability == "ONLINE"

    matches, _, statuses = find(server, "STUDY", StudyInstanceUID=[f"{ROOT}.1", f"{ROOT}.3", "1.2.3"])
    assert {match.StudyInstanceUID for match in matches} == {f"{ROOT}.1", f"{ROOT}.3"}
    assert set(statuses) == {0xFF00}


def test_levels_below(server: Server) -> None:
    """Series and instances, of the entity that the unique keys above name."""
    matches, status, _ = find(server, "SERIES", StudyInstanceUID=f"{ROOT}.1", SeriesInstanceUID="", Modality="CT")
    assert [match.SeriesInstanceUID for match in matches] == [f"{ROOT}.1.2"]
    matches, status, _ = find(
        server,
        "IMAGE",
        StudyInstanceUID=f"{ROOT}.1",
        SeriesInstanceUID=f"{ROOT}.1.1",
        SOPInstanceUID="",
        InstanceNumber="",
    )
    assert status.Status == 0x0000
    assert {match.SOPInstanceUID for match in matches} == {f"{ROOT}.1.1.{number}" for number in (1, 2, 3)}
    assert {match.InstanceNumber for match in matches} == {1, 2, 3}


def test_matches_hold_what_was_asked_for(server: Server) -> None:
    """The keys, the unique keys of the model's levels, and what each match says of itself (PS3.4 C.4.1.1.3.2)."""
    told = {"QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability"}

    def held(level: str, model: str = STUDY_FIND, **keys: Any) -> set[str]:
        (match,) = find(server, level, model, **keys)[0]
        return {element.keyword for element in match} - told

    assert held("STUDY", StudyInstanceUID=f"{ROOT}.1") == {"StudyInstanceUID"}
    assert held("STUDY", AccessionNumber="A1") == {"StudyInstanceUID", "AccessionNumber"}
    assert held("PATIENT", PATIENT_FIND, PatientID="P2", PatientSex="") == {"PatientID", "PatientSex"}
    unique = {"StudyInstanceUID", "SeriesInstanceUID"}
    keys = {"StudyInstanceUID": f"{ROOT}.1", "SeriesInstanceUID": f"{ROOT}.1.2"}
    assert held("SERIES", **keys) == unique
    assert held("SERIES", PATIENT_FIND, PatientID="P1", **keys) == unique | {"PatientID"}
    keys |= {"SOPInstanceUID": f"{ROOT}.1.2.1", "Rows": "", "PatientName": ""}
    assert held("IMAGE", **keys) == unique | {"SOPInstanceUID", "Rows", "PatientName"}


def test_keys_without_a_value_come_back_empty(server: Server) -> None:
    """Return keys empty, be they of the catalog, of the header or of nothing stored (PS3.4 C.2.2.1.3)."""
    keys = ("StudyID", "PatientComments", "ProcedureCodeSequence", "OperatorsName", "AcquisitionDateTime")
    empty: dict[str, Any] = dict.fromkeys(keys, "")
    ((match, *_), _, statuses) = find(server, "STUDY", StudyInstanceUID=f"{ROOT}.1", **empty)
    assert set(statuses) == {0xFF00}
    assert not any(match[key].value for key in keys)


def test_patients(server: Server) -> None:
    """The patient root has a level more, and wants no Patient ID below it."""
    matches, status, _ = find(server, "PATIENT", PATIENT_FIND, PatientID="", PatientName="*")
    assert status.Status == 0x0000
    assert {match.PatientID for match in matches} == {"P1", "P2", "P3"}
    matches, status, _ = find(server, "STUDY", PATIENT_FIND, PatientID="P2", StudyInstanceUID="")
    assert [match.StudyInstanceUID for match in matches] == [f"{ROOT}.2"]
    matches, status, _ = find(server, "STUDY", PATIENT_FIND, StudyInstanceUID="")
    assert status.Status == 0x0000
    assert {match.StudyInstanceUID for match in matches} >= {f"{ROOT}.{number}" for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("level", "keys", "offending"),
    [
        (None, {"StudyInstanceUID": ""}, 0x00080052),
        ("", {"StudyInstanceUID": ""}, 0x00080052),
        ("PATIENT", {"PatientID": ""}, 0x00080052),
        ("STUDIES", {"StudyInstanceUID": ""}, 0x00080052),
    ],
)
def test_identifiers_that_do_not_match(server: Server, level: str | None, keys: dict[str, Any], offending: int) -> None:
    """Missing, unknown and impossible levels are refused with what is wrong."""
    matches, status, _ = find(server, level, **keys)
    assert not matches
    assert status.Status == 0xA900
    assert status.OffendingElement == offending
    assert status.ErrorComment


def test_negotiation_of_names_and_times(server: Server) -> None:
    """Negotiate relational queries, fuzzy names and combined date and time where they are asked for."""
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = STUDY_FIND
    item.service_class_application_information = RELATIONAL_COMBINED_FUZZY
    options = {"ext_neg": [item]}
    with associated(server, STUDY_FIND, **options) as assoc:
        assert assoc.acceptor.sop_class_extended[STUDY_FIND] == b"\x01\x01\x01"
    matches, _, _ = find(server, "STUDY", options=options, PatientName="jane doe", StudyInstanceUID="")
    assert [match.StudyInstanceUID for match in matches] == [f"{ROOT}.1"]
    matches, _, _ = find(server, "STUDY", PatientName="jane doe", StudyInstanceUID="")
    assert not matches
    keys = {"StudyDate": "20240104-20240105", "StudyTime": "120000-110000", "StudyInstanceUID": ""}
    matches, _, _ = find(server, "STUDY", options=options, **keys)
    assert [match.StudyInstanceUID for match in matches] == [f"{ROOT}.1"]


def test_character_sets(server: Server) -> None:
    """Answers are in the requestor's character set where that holds the text, and in UTF-8 otherwise."""
    for asked, answered in (("ISO_IR 100", "ISO_IR 100"), ("ISO_IR 144", "ISO_IR 192"), ("ISO_IR 192", "ISO_IR 192")):
        name = "M*" if asked == "ISO_IR 144" else "müller*"
        matches, _, _ = find(server, "STUDY", SpecificCharacterSet=asked, PatientName=name, StudyInstanceUID="")
        found = [(match.SpecificCharacterSet, str(match.PatientName)) for match in matches]
        assert found == [(answered, "Müller^Jörg")]
    matches, _, _ = find(server, "STUDY", StudyInstanceUID=f"{ROOT}.1", PatientName="")
    assert "SpecificCharacterSet" not in matches[0]


def test_every_character_set(server: Server, data_set: Path) -> None:
    """Find what pydicom reads in a file, by the file's own text as the key."""
    from pydicom import dcmread

    for file in sorted((data_set / "pydicom-charsets").glob("chr*.dcm")):
        ds = dcmread(file, defer_size=1024)
        if "StudyInstanceUID" not in ds or not str(ds.get("PatientName", "")):
            continue
        upload(server, file.read_bytes())
        matches, status, _ = find(
            server, "STUDY", SpecificCharacterSet="ISO_IR 192", StudyInstanceUID=ds.StudyInstanceUID, PatientName=""
        )
        assert status.Status == 0x0000
        assert str(matches[0].PatientName).rstrip("=") == str(ds.PatientName).rstrip("="), file.name


def test_code_extensions(server: Server) -> None:
    """A requestor that names code extensions gets its answer in them, where they hold the text."""
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    upload(server, dicom_file(1, study=5, patient="P5", PatientName=name, SpecificCharacterSet="ISO_IR 192"))
    terms = ["", "ISO 2022 IR 87"]
    (match,) = find(server, "STUDY", SpecificCharacterSet=terms, StudyInstanceUID=f"{ROOT}.5", PatientName="")[0]
    assert (list(match.SpecificCharacterSet), str(match.PatientName)) == (terms, name)


def test_an_edit_shows(server: Server) -> None:
    """Match and return what a PUT changed."""
    upload(server, dicom_file(1, study=9, patient="P9", PatientName="Old^Name"))
    patient = server.client.get("/api/patients", params={"patient_id": "P9"}).json()[0]["id"]
    assert server.client.put(f"/api/patients/{patient}", json={"patient_name": "New^Näme"}).status_code == 200
    matches, _, _ = find(server, "STUDY", PatientName="New*", StudyInstanceUID="")
    assert [(match.StudyInstanceUID, str(match.PatientName)) for match in matches] == [(f"{ROOT}.9", "New^Näme")]
    assert not find(server, "STUDY", PatientName="Old*", StudyInstanceUID="")[0]


def test_cancel(server: Server) -> None:
    """A C-CANCEL ends the matches, with its status."""
    upload(server, *(dicom_file(1, study=1000 + number, patient="MANY") for number in range(400)))
    with associated(server, STUDY_FIND) as assoc:
        answers = assoc.send_c_find(identifier("STUDY", PatientID="MANY", StudyInstanceUID=""), STUDY_FIND, msg_id=7)
        next(answers)
        assoc.send_c_cancel(7, query_model=STUDY_FIND)
        rest = list(answers)
        assert rest[-1][0].Status in (0xFE00, 0x0000)
        # The association is as good as before.
        found = list(assoc.send_c_find(identifier("STUDY", PatientID="P2", StudyInstanceUID=""), STUDY_FIND))
        assert [status.Status for status, _ in found] == [0xFF00, 0x0000]
    matches, _, _ = find(server, "STUDY", PatientID="MANY", StudyInstanceUID="")
    assert len({match.StudyInstanceUID for match in matches}) == 400


def test_broken_identifiers(server: Server) -> None:
    """Refuse identifiers that can't be read, and go on with the association."""
    ae = AE("TESTER")
    ae.add_requested_context(STUDY_FIND, "1.2.840.10008.1.2.1")
    with associated(server, ae=ae) as assoc:
        for data in (b"\x08\x00\x52\x00CS\xff\x00", b"\xff" * 64):
            request = C_FIND()
            request.MessageID, request.AffectedSOPClassUID, request.Priority = 1, STUDY_FIND, 2
            request.Identifier = BytesIO(data)
            response = ask(assoc, request, 1)
            assert response.Status in (0xA900, 0xC000)
            assert response.ErrorComment
        assert list(assoc.send_c_find(identifier("STUDY", StudyInstanceUID=f"{ROOT}.2"), STUDY_FIND))[-1][0].Status == 0


def test_unsupported_keys_are_told(server: Server) -> None:
    """A matching key that is not supported makes the status of the matches FF01."""
    for unsupported in ({"RetrieveURL": "http://x"}, {"RedPaletteColorLookupTableData": b"ab"}):
        matches, status, statuses = find(server, "STUDY", StudyInstanceUID=f"{ROOT}.2", **unsupported)
        assert (len(matches), status.Status, statuses) == (1, 0x0000, [0xFF01])


def test_findscu(server: Server) -> None:
    """DCMTK's client, with a sequence among the keys."""
    code, output = run_tool(server, "findscu", "-v", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=P2",
                            "-k", "StudyInstanceUID")  # fmt: skip
    assert code == 0
    assert f"{ROOT}.2" in output
    assert "Success" in output


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.1.1", STUDY_MOVE, "1.2.840.10008.5.1.4.1.1.2"])
def test_a_query_where_none_is_served(server: Server, sop_class: str) -> None:
    """C-FIND in a context of something else is refused, and the association goes on."""
    with associated(server, sop_class, STUDY_FIND) as assoc:
        context = next(context for context in assoc.accepted_contexts if context.abstract_syntax == sop_class)
        request = C_FIND()
        request.MessageID, request.AffectedSOPClassUID, request.Priority = 1, sop_class, 2
        request.Identifier = BytesIO(b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY ")
        assert ask(assoc, request, context.context_id).Status == 0x0211
        assert list(assoc.send_c_find(identifier("STUDY", StudyInstanceUID=f"{ROOT}.2"), STUDY_FIND))[-1][0].Status == 0


def ask(assoc: Association, request: C_FIND, context_id: int) -> C_FIND:
    """Send a request as it is, and give the response."""
    assoc._reactor_checkpoint.clear()
    while not assoc._is_paused:  # or its own thread takes the response
        time.sleep(0.001)
    assoc.dimse.send_msg(request, context_id)
    _, response = assoc.dimse.get_msg(block=True)
    assoc._reactor_checkpoint.set()
    assert isinstance(response, C_FIND)
    return response
