"""Uploads: one body with one file, many files or a ZIP of them, taken as it arrives; one result for each file."""

from neurdicom.services.upload.service import Upload, UploadService

__all__ = ["Upload", "UploadService"]
