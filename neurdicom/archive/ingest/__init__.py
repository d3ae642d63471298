"""Ingest, the one way into the archive for every protocol: files are made durable, then entered into the catalog.

Owns the spool files under way and the group commit. Imports `coordination`, `catalog`, `blobs` and `dicom`.
"""
