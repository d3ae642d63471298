"""DICOMweb services (PS3.18): QIDO-RS, WADO-RS, STOW-RS and WADO-URI, and a client of those of other servers.

Handlers are like those of the REST API, with the statuses and the negotiation of the standard. The package may import
every service below, and `http`; not `web` or `dimse`, which are beside it.
"""
