"""Upper layer and messages of an association (PS3.8, PS3.7): all that overrides pynetdicom; see README.md.

Owns connections, the states of an association, and requests in both directions. May import from `blobs`, `dicom` and
`errors`, and `dimse.statuses`.
"""
