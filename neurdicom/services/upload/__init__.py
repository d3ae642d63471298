"""Uploads: one body with one file, many files or a ZIP of them, taken as it arrives; one result for each file."""

from neurdicom.services.upload.body import Upload
from neurdicom.services.upload.service import UploadService
from neurdicom.services.upload.store import Store, StoredReference

__all__ = ["Store", "StoredReference", "Upload", "UploadService"]
