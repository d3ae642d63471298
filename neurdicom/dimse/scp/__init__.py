"""Service class providers (SCP): verification, storage, query, retrieval, storage commitment.

Owns the negotiation of accepted associations, and the answers to requests. May import from `dicom`, and `dimse.ul`,
`dimse.ipc` and `dimse.scu`; the catalog is reached through the server's verbs, over `dimse.ipc.link`.
"""
