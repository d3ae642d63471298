"""The DICOM network services: the protocol runs in processes of its own, the data stays with the server."""
