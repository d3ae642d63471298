"""DICOMweb client (PS3.18): queries to nodes, retrieval from them and sending to them over HTTP.

Owns the connections to other servers. Imports `nodes.peer`, whose port it implements, `archive`, `dicom`, `errors` and
httpx; nothing else of `dicomweb`.
"""

from neurdicom.dicomweb.client.peer import DicomWebPeer

__all__ = ["DicomWebPeer"]
