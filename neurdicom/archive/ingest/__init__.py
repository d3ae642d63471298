"""The one way in for every door: durable files, entered into the catalog.

Owns the spool files under way and the group commit. Imports `coordination`, `catalog`, `blobs` and `dicom`.
"""
