"""Elements of a dataset in and out: bytes, the DICOM JSON model, Native XML, character sets."""
