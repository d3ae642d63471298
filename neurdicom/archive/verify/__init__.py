"""Integrity of stored files: checks by SHA-256, the record of damage, refusals of damaged files, and repairs.

Owns the documents of damage and of checks (`damage`, `damage_revision`, `verification`). Imports `catalog`, `blobs`,
`coordination` and `archive.hold`; jobs that verify are made above, in `nodes`.
"""
