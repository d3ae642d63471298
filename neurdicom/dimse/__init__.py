"""DIMSE services (PS3.7): the protocol runs in processes of its own, which the server owns.

Owns associations in both directions, the processes, and their communication with the server. May import from
`nodes` and below. Within, `scp` may import `scu`, and both may import `ul` and `ipc`, which import neither.
"""
