"""Uploads: a body with one file, many files or a ZIP of them, read as it arrives; one result for each file.

Owns the parsing of such bodies and their limits. Imports `archive.ingest`, which stores the files, `blobs`, `pixels`,
`dicom` and `errors`.
"""

from neurdicom.archive.upload.body import Upload
from neurdicom.archive.upload.service import UploadService
from neurdicom.archive.upload.store import StoredReference, StoreUpload

__all__ = ["StoreUpload", "StoredReference", "Upload", "UploadService"]
