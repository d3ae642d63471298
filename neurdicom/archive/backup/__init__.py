"""Backups of a server's data folder: made while it serves, checked, restored, and deleted when there are newer ones.

Owns the format of the folder of backups and the verbs on it. They block, and belong in a thread. Imports `data_folder`,
`dicom` and `errors`; the copy of the catalog comes from the composition root.
"""
