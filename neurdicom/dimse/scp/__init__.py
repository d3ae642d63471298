"""The services that we provide (SCP): verification, storage, query, retrieval, storage commitment.

Owns what is accepted in an association, and how each request is answered. May import from `dicom`, and `dimse.ul`,
`dimse.ipc` and `dimse.scu`; what needs the catalog is asked of the server over `dimse.ipc.link`.
"""
