"""Arrivals that the catalog's contract suites store."""

from neurdicom.catalog.base import NewInstance
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.conditions import Value


def arrival(
    number: int, *, patient: str = "p1", study: str = "1.2.1", series: str = "1.2.1.1", sha256: str = "", **more: Value
) -> NewInstance:
    """Make an arrival with an id, a blob and a header of its own.

    Parameters
    ----------
    number : int
        Number of the instance, from which its ids and its blob's key are made.
    patient, study, series : str
        Ids of the entities above.
    sha256 : str
        SHA-256 of its file; by default made from `number`.
    **more
        Further attributes, by field name.

    Returns
    -------
    NewInstance
    """
    instance = f"1.9.{number}"
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
    return NewInstance(
        patient=patient,
        study=study,
        series=series,
        instance=instance,
        attributes={**attributes, **more},
        header=f'{{"number": {number}, "sha": "{sha256}"}}'.encode(),
        blob=BlobRef(f"blob-{number}-{sha256}", 1000 + number, sha256),
        received="2024-01-02T03:04:05Z",
        layout={"transfer_syntax": "1.2.840.10008.1.2.1", "pixel_offset": number},
    )
