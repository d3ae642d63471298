"""DIMSE: the protocol runs in processes of its own, the data stays with the server.

Owns associations in both directions, the processes, and what passes between them and the server. May import from
`nodes` and below. Within, `scp` may use `scu`, and both may use `ul` and `ipc`, which know nothing of them.
"""
