"""DICOMweb (PS3.18): QIDO-RS, WADO-RS, STOW-RS and WADO-URI, and a client of other servers' DICOMweb services.

Handlers are as in the REST API, with the statuses and the negotiation of the standard. The package imports every
service below, and `http`; not `web` or `dimse`, which lie beside it.
"""
