"""Service class users (SCU) of remote nodes: echo, find, store, move, get.

Owns associations that we request, the contexts proposed in them, and the operations. May import from `dicom`, and
`dimse.ul` and `dimse.ipc`; files to send come from the server, over `dimse.ipc.link`.
"""
