"""The services that we use of remote nodes (SCU): echo, find, store, move, get.

Owns associations that we ask for, what is proposed in them, and the operations. May import from `dicom`, and `dimse.ul`
and `dimse.ipc`; what is sent is asked of the server over `dimse.ipc.link`.
"""
