"""Arrivals that the catalog's contract suites store."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.codec.dictionary import tag_of
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import Place
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.dicom.uids import patient_key


def arrival(
    number: int,
    *,
    patient: str = "p1",
    study: str = "1.2.1",
    series: str = "1.2.1.1",
    instance: str = "",
    sha256: str = "",
    **more: Value,
) -> NewInstance:
    """Make an arrival with an id, a blob and a header of its own.

    Parameters
    ----------
    number : int
        Number of the file, from which its blob's key, and its SOP Instance UID where none is given, are made.
    patient : str
        Id of the patient, whose Patient ID is the same in capitals.
    study, series : str
        UIDs of the entities above.
    instance : str
        SOP Instance UID, where files of one are to meet.
    sha256 : str
        SHA-256 of its file; by default made from `number`.
    **more
        Further attributes, by field name.

    Returns
    -------
    NewInstance
    """
    instance = instance or f"1.9.{number}"
    attributes: dict[str, Value] = {
        "patient_id": patient.upper(),
        "patient_name": "DOE^JOHN",
        "study_instance_uid": study,
        "series_instance_uid": series,
        "sop_instance_uid": instance,
        "modality": "CT",
        "study_date": "20240102",
        "instance_number": number,
        "image_type": ["ORIGINAL", "PRIMARY"],
    }
    sha256 = sha256 or f"sha-{number}"
    attributes |= more
    return NewInstance(
        patient=patient,
        study=study,
        series=series,
        instance=instance,
        attributes=attributes,
        header=header_of(attributes, sha256),
        blob=BlobRef(f"blob-{number}-{sha256}", 1000 + number, sha256),
        received=f"2024-01-02T03:04:{number % 60:02}Z",
        layout={"transfer_syntax": "1.2.840.10008.1.2.1", "pixel_offset": number},
    )


def arrival_of(
    number: int, patient_id: str | None = None, issuer: str | None = None, *, study: str = "1.2.1", **more: Any
) -> NewInstance:
    """Make an arrival of the patient that a Patient ID and its issuer name, if any.

    Parameters
    ----------
    number : int
        Number of the file, as `arrival`.
    patient_id, issuer : str or None
        Patient ID (0010,0020) and its issuer (0010,0021).
    study : str
        UID of the study.
    **more
        Further arguments of `arrival`, and attributes.

    Returns
    -------
    NewInstance
    """
    identifiers: dict[str, Value] = {"patient_id": patient_id, "issuer_of_patient_id": issuer}
    made = arrival(number, patient=patient_key(patient_id, issuer, study), study=study, **more)
    return replace(made, attributes={**made.attributes, **identifiers})


def header_of(attributes: Mapping[str, Value], content: str) -> bytes:
    """Write the header of an arrival: the attributes of its instance in the DICOM JSON model.

    Parameters
    ----------
    attributes : Mapping[str, Value]
        Field name to value; those of the levels above are left out.
    content : str
        Text that tells the file from others.

    Returns
    -------
    bytes
    """
    said: dict[str, Any] = {"content": content}
    for attribute in AT_LEVEL[Level.INSTANCE]:
        value = attributes.get(attribute.field)
        if value is not None and attribute.editable:
            said[tag_of(attribute.keyword)] = {"Value": value if isinstance(value, list) else [value]}
    return json.dumps(said).encode()


def place_of(new: NewInstance) -> Place:
    """Compute the place of an arrival by its own file alone.

    Parameters
    ----------
    new : NewInstance
        The arrival.

    Returns
    -------
    Place
    """
    return Place.of(new.patient, new.study, new.series, new.instance)
