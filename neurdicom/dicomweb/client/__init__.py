"""DICOMweb client (PS3.18): queries to nodes, retrieval from them and sending to them over HTTP."""

from neurdicom.dicomweb.client.peer import DicomWebPeer

__all__ = ["DicomWebPeer"]
