"""DICOMweb (PS3.18) from the client's side: nodes that are queried, retrieved from and sent to over HTTP."""

from neurdicom.dicomweb.client.peer import DicomWebPeer

__all__ = ["DicomWebPeer"]
