"""DICOM without I/O: elements, headers, queries, edits, geometry and UIDs as functions of their arguments.

Owns the standard's rules of datasets (PS3.3, PS3.5, PS3.6, PS3.10, PS3.18 F). Imports only `schema` and
`errors`.
"""
